// HTTP/2 in clear text with net/http: `serve PORT` or `fetch PORT BYTES`. The client makes a round of requests a line of
// standard input over one connection: eight GETs at once, a POST of so many bytes, one with trailers, a 404, a 503, and one
// that is given up. One more request comes before them.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	address := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "serve" {
		server := http.Server{Addr: address, Handler: http.HandlerFunc(answer), Protocols: protocols}
		panic(server.ListenAndServe())
	}
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	base := "http://" + address
	fetch(client, base+"/items/0", nil, 200, len("item items/0"))
	fmt.Println("ready")
	size, err := strconv.Atoi(os.Args[3])
	check(err)
	number := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); number++ {
		round(client, base, number, size)
		fmt.Println("ready")
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/status/"):
		status, _ := strconv.Atoi(path[len("/status/"):])
		w.WriteHeader(status)
	case path == "/echo":
		io.Copy(w, r.Body)
	case path == "/trailers":
		w.Header().Set("Trailer", "X-Checksum")
		fmt.Fprint(w, "with trailers")
		w.Header().Set("X-Checksum", "7")
	case path == "/never":
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		fmt.Fprintf(w, "item %s", path[1:])
	}
}

func fetch(client *http.Client, url string, body io.Reader, status, length int) {
	method := "GET"
	if body != nil {
		method = "POST"
	}
	request, err := http.NewRequest(method, url, body)
	check(err)
	response, err := client.Do(request)
	check(err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != status || len(got) != length || response.ProtoMajor != 2 {
		panic(fmt.Sprint(url, response.Status, response.Proto, len(got)))
	}
}

func round(client *http.Client, base string, number, size int) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			fetch(client, fmt.Sprintf("%s/items/%d", base, 1000+10*number+i), nil, 200, 15)
		}()
	}
	all.Wait()
	fetch(client, base+"/echo", strings.NewReader(strings.Repeat("x", size)), 200, size)
	fetch(client, base+"/trailers", nil, 200, 13)
	fetch(client, base+"/status/404", nil, 404, 0)
	fetch(client, base+"/status/503", nil, 503, 0)
	giveUp, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(giveUp, "GET", base+"/never", nil)
	check(err)
	response, err := client.Do(request)
	check(err)
	cancel()
	response.Body.Close()
	// The frame that says so is sent by another goroutine, before the next request's.
	time.Sleep(20 * time.Millisecond)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
