// A net/http server as most are: one handler, a small JSON answer.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	answer := []byte(`{"id":4711,"name":"remora","host":"shark","attached":true}`)
	http.HandleFunc("/items/4711", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		_, _ = response.Write(answer)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
