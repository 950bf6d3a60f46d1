//! Descriptors reused as fast as they can be: `churn ADDRESS:PORT THREADS CONNECTIONS`.
//!
//! Each of THREADS client threads makes CONNECTIONS connections with one to three requests each, and both ends duplicate
//! and close their descriptors on the way, so that the same numbers mean other connections all the time. A request's
//! path carries the thread, the connection, its local port and the length of the answer: `/THREAD/NUMBER/PORT/LENGTH`.
//! Each target is written to standard output once it was answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, threads, connections] = &arguments[..] else {
        panic!("churn ADDRESS:PORT THREADS CONNECTIONS")
    };
    let (threads, connections): (usize, usize) =
        (threads.parse().expect("threads"), connections.parse().expect("connections"));
    let listener = TcpListener::bind(address).expect("bind");
    for _ in 0..4 {
        let listener = listener.try_clone().expect("clone");
        std::thread::spawn(move || {
            loop {
                serve(moved(listener.accept().expect("accept").0));
            }
        });
    }
    let clients: Vec<_> = (0..threads)
        .map(|thread| {
            let address = address.clone();
            std::thread::spawn(move || {
                (0..connections).map(|number| client(&address, thread, number)).collect::<String>()
            })
        })
        .collect();
    for client in clients {
        print!("{}", client.join().expect("client"));
    }
}

/// The same connection behind another descriptor; the old one is free for somebody else.
fn moved(stream: TcpStream) -> TcpStream {
    // SAFETY: duplicates an open descriptor; the new one is owned by nobody else.
    unsafe { TcpStream::from_raw_fd(libc::dup(stream.as_raw_fd())) }
}

fn serve(mut stream: TcpStream) {
    loop {
        let head = read_head(&mut stream);
        let Some(target) = head.split(' ').nth(1) else { return };
        let length: usize = target.rsplit('/').next().expect("length").parse().expect("number");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "y".repeat(length));
        stream = moved(stream);
        stream.write_all(answer.as_bytes()).expect("answer");
    }
}

fn client(address: &str, thread: usize, number: usize) -> String {
    let mut stream = moved(TcpStream::connect(address).expect("connect"));
    let port = stream.local_addr().expect("address").port();
    let mut done = String::new();
    for request in 0..=number % 3 {
        let length = thread * 1000 + number + request;
        let target = format!("/{thread}/{number}.{request}/{port}/{length}");
        let text = format!("GET {target} HTTP/1.1\r\nHost: churn\r\n\r\n");
        stream.write_all(text.as_bytes()).expect("request");
        stream = moved(stream);
        let head = read_head(&mut stream);
        assert!(head.contains(&format!("Content-Length: {length}\r\n")), "{head}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("body");
        done += &format!("{target}\n");
    }
    done
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("read") > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}
