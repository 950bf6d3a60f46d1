// The official Go driver's part of the MongoDB tests: argument 1 is the address, 2 how many rounds. Each round inserts two
// documents, reads them in batches of one, and fails once. A line on standard input starts each round.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"

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
	rounds, err := strconv.Atoi(os.Args[2])
	check(err)
	ctx := context.Background()
	uri := "mongodb://" + os.Args[1] + "/?directConnection=true&retryWrites=false&maxPoolSize=1"
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri))
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	books := client.Database("library").Collection("books")
	for round := 0; round < rounds && lines.Scan(); round++ {
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
		fmt.Println("round", round)
	}
	check(client.Disconnect(ctx))
}
