//! One request and gone: `oneshot ADDRESS:PORT TARGET`. A process that lives for about a millisecond.

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let mut stream = TcpStream::connect(&arguments[1])?;
    let request = format!("GET {} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", arguments[2]);
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}
