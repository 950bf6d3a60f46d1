// gRPC-Go: `serve PORT` or `call PORT`. The client makes a round of calls a line of standard input: unary, failing, client
// streaming, server streaming, both, and one whose deadline passes. It is the same service, and the same round, as the
// Python peer's.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

const service = "remora.test.Shop"

func unary(name string, work func(context.Context, *text) (*text, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(text)
		if err := decode(request); err != nil {
			return nil, err
		}
		return work(ctx, request)
	}}
}

func serve(address string) {
	server := grpc.NewServer()
	streaming := func(name string, client, server bool, work func(grpc.ServerStream) error) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ClientStreams: client, ServerStreams: server, Handler: func(_ any, stream grpc.ServerStream) error {
			return work(stream)
		}}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary("Get", func(_ context.Context, request *text) (*text, error) { return request, nil }),
			unary("Fail", func(context.Context, *text) (*text, error) {
				return nil, status.Error(codes.NotFound, "no such item")
			}),
			unary("Slow", func(ctx context.Context, request *text) (*text, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		},
		Streams: []grpc.StreamDesc{
			streaming("Upload", true, false, func(stream grpc.ServerStream) error {
				count := 0
				for message := new(text); stream.RecvMsg(message) == nil; count++ {
				}
				return stream.SendMsg(wrapperspb.String(fmt.Sprint(count)))
			}),
			streaming("List", false, true, func(stream grpc.ServerStream) error {
				request := new(text)
				if err := stream.RecvMsg(request); err != nil {
					return err
				}
				for i := range 3 {
					if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
						return err
					}
				}
				return nil
			}),
			streaming("Chat", true, true, func(stream grpc.ServerStream) error {
				for message := new(text); stream.RecvMsg(message) == nil; {
					if err := stream.SendMsg(message); err != nil {
						return err
					}
				}
				return nil
			}),
		},
	}, nil)
	listener, err := net.Listen("tcp", address)
	check(err)
	check(server.Serve(listener))
}

func main() {
	address := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "serve" {
		serve(address)
	}
	channel, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	channel.Connect()
	round(channel, "warm")
	fmt.Println("ready")
	number := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); number++ {
		round(channel, fmt.Sprint(number))
		fmt.Println("ready")
	}
	channel.Close()
}

func round(channel *grpc.ClientConn, name string) {
	background := context.Background()
	call := func(ctx context.Context, method string) error {
		return channel.Invoke(ctx, "/"+service+"/"+method, wrapperspb.String(strings.Repeat("x", 998)), new(text))
	}
	check(call(background, "Get"))
	expect(call(background, "Fail"), codes.NotFound)
	deadline, cancel := context.WithTimeout(background, 100*time.Millisecond)
	expect(call(deadline, "Slow"), codes.DeadlineExceeded)
	cancel()
	stream := func(method string, send, receive int) {
		description := &grpc.StreamDesc{ClientStreams: send > 1, ServerStreams: receive > 1}
		stream, err := channel.NewStream(background, description, "/"+service+"/"+method)
		check(err)
		for range send {
			check(stream.SendMsg(wrapperspb.String("up")))
		}
		check(stream.CloseSend())
		for range receive {
			check(stream.RecvMsg(new(text)))
		}
		if receive > 1 && stream.RecvMsg(new(text)) != io.EOF {
			panic("too many messages")
		}
	}
	stream("Upload", 3, 1)
	stream("List", 1, 3)
	stream("Chat", 3, 3)
}

func expect(err error, code codes.Code) {
	if status.Code(err) != code {
		panic(err)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
