// The official Go driver against a MongoDB server at the port in argument 1, a round a line of standard input: it inserts
// two documents, reads them in batches of one, and fails once.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	uri := "mongodb://127.0.0.1:" + os.Args[1] + "/?directConnection=true&retryWrites=false&maxPoolSize=1"
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri))
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	books := client.Database("library").Collection("books")
	check(client.Ping(ctx, nil))
	fmt.Println("ready")
	for round := 0; lines.Scan(); round++ {
		_, err = books.InsertMany(ctx, []any{
			bson.D{{Key: "_id", Value: 2 * round}, {Key: "title", Value: "secret one"}},
			bson.D{{Key: "_id", Value: 2*round + 1}, {Key: "title", Value: "secret two"}},
		})
		check(err)
		filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: 2 * round}}}}
		cursor, err := books.Find(ctx, filter, options.Find().SetBatchSize(1))
		check(err)
		count := 0
		for cursor.Next(ctx) {
			count++
		}
		check(cursor.Err())
		if count != 2 {
			panic(fmt.Sprint("documents: ", count))
		}
		_, err = books.InsertOne(ctx, bson.D{{Key: "_id", Value: 2 * round}})
		if !mongo.IsDuplicateKeyError(err) {
			panic(fmt.Sprint("no duplicate: ", err))
		}
		fmt.Println("ready")
	}
	check(client.Disconnect(ctx))
}
