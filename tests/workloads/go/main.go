// The workload server and client in Go's net/http: `serve ADDRESS:PORT` or `fetch BASE`.
//
// The client's standard input: METHOD TARGET BODY a line; its standard output: STATUS BYTES START END a line.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func handle(w http.ResponseWriter, r *http.Request) {
	parts := append(strings.Split(r.URL.Path, "/"), "", "")
	number, _ := strconv.Atoi(parts[2])
	switch {
	case r.Method == "POST":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			answer(w, 400, nil)
			return
		}
		answer(w, 200, body)
	case parts[1] == "hello":
		answer(w, 200, []byte("hello\n"))
	case parts[1] == "bytes":
		answer(w, 200, bytes.Repeat([]byte("b"), number))
	case parts[1] == "status":
		answer(w, number, []byte("status\n"))
	case parts[1] == "slow":
		time.Sleep(time.Duration(number) * time.Millisecond)
		answer(w, 200, []byte("slow\n"))
	case parts[1] == "chunked":
		for i := 0; i < 3; i++ {
			w.Write(bytes.Repeat([]byte("c"), number/3))
			w.(http.Flusher).Flush()
		}
	default:
		answer(w, 404, []byte("missing\n"))
	}
}

// hidden has no length that net/http could find out, so the body goes in chunks.
type hidden struct{ io.Reader }

func fetch(base string) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		length, _ := strconv.Atoi(strings.TrimPrefix(fields[2], "chunked:"))
		var body io.Reader
		if length > 0 {
			body = bytes.NewReader(bytes.Repeat([]byte("r"), length))
		}
		if strings.HasPrefix(fields[2], "chunked:") {
			body = hidden{body}
		}
		start := time.Now().UnixNano()
		request, err := http.NewRequest(fields[0], base+fields[1], body)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		size, err := io.Copy(io.Discard, response.Body)
		if err != nil {
			return err
		}
		response.Body.Close()
		fmt.Println(response.StatusCode, size, start, time.Now().UnixNano())
	}
	return lines.Err()
}

func main() {
	if os.Args[1] == "serve" {
		log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(handle)))
	}
	// The agent needs some milliseconds after the exec to learn that this is a Go program.
	time.Sleep(300 * time.Millisecond)
	if err := fetch(os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
