// The shop's catalog: Go's net/http on both sides. It asks the orders service what is in stock.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const count = 100

type product struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
	Stock int    `json:"stock,omitempty"`
}

var (
	ordersURL = os.Getenv("ORDERS_URL")
	client    = &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute},
	}
)

func productOf(id int) product {
	adjectives := []string{"Quiet", "Rapid", "Silver", "Deep", "Northern"}
	nouns := []string{"Anchor", "Lantern", "Compass", "Net"}
	return product{
		ID:    id,
		Name:  adjectives[id%len(adjectives)] + " " + nouns[id%len(nouns)],
		Cents: 500 + 37*id,
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	bytes, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(bytes)))
	w.WriteHeader(status)
	w.Write(bytes)
}

func notFound(w http.ResponseWriter) {
	reply(w, http.StatusNotFound, map[string]string{"error": "no such product"})
}

// stock asks the orders service, passing on the request's id.
func stock(r *http.Request, id int) (int, error) {
	request, err := http.NewRequestWithContext(r.Context(), "GET", fmt.Sprintf("%s/stock/%d", ordersURL, id), nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer struct{ Stock int }
	err = json.NewDecoder(response.Body).Decode(&answer)
	io.Copy(io.Discard, response.Body) // so that the connection can be used again
	return answer.Stock, err
}

// list answers GET /products?limit=N.
func list(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit > count {
		limit = count
	}
	products := []product{}
	for id := 1; id <= limit; id++ {
		products = append(products, productOf(id))
	}
	reply(w, http.StatusOK, products)
}

// one answers GET /products/{id} and GET /products/{id}/reviews.
func one(w http.ResponseWriter, r *http.Request) {
	idText, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/products/"), "/")
	id, err := strconv.Atoi(idText)
	if err != nil || id < 1 || id > count {
		notFound(w)
		return
	}
	switch rest {
	case "":
		found := productOf(id)
		if found.Stock, err = stock(r, id); err != nil {
			reply(w, http.StatusBadGateway, map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusOK, found)
	case "reviews":
		reviews(w, id)
	default:
		notFound(w)
	}
}

// reviews writes without a length, so the answer is chunked.
func reviews(w http.ResponseWriter, id int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "[")
	for n := 0; n < 40+id; n++ {
		if n > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"stars":%d,"text":"%s"}`, 1+(id+n)%5, strings.Repeat("Holds well in any weather. ", 1+n%4))
	}
	fmt.Fprint(w, "]")
}

// price answers GET /prices/{id}: what the orders service asks, and nothing that asks back.
func price(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/prices/"))
	if err != nil || id < 1 || id > count {
		notFound(w)
		return
	}
	reply(w, http.StatusOK, productOf(id))
}

// search is the slow one: 100 to 300 ms.
func search(w http.ResponseWriter, r *http.Request) {
	query := strings.ToLower(r.URL.Query().Get("q"))
	time.Sleep(time.Duration(100+37*len(query)%200) * time.Millisecond)
	found := []product{}
	for id := 1; id <= count; id++ {
		if candidate := productOf(id); strings.Contains(strings.ToLower(candidate.Name), query) {
			found = append(found, candidate)
		}
	}
	reply(w, http.StatusOK, found)
}

// export streams the catalog, ten products at a time.
func export(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for id := 1; id <= count; id++ {
		if encoder.Encode(productOf(id)) != nil {
			return
		}
		if id%10 == 0 {
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func main() {
	http.HandleFunc("/products", list)
	http.HandleFunc("/products/", one)
	http.HandleFunc("/prices/", price)
	http.HandleFunc("/search", search)
	http.HandleFunc("/export", export)
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, true) })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
