// A publisher that does not wait for each confirmation, and a consumer that acknowledges several messages at once, each on
// a channel of its own of one connection: amqp PORT COUNT
package main

import (
	"context"
	"log"
	"os"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	must(err)
	connection, err := amqp.Dial("amqp://guest:guest@127.0.0.1:" + os.Args[1] + "/")
	must(err)
	publisher, err := connection.Channel()
	must(err)
	_, err = publisher.QueueDeclare("many", false, false, false, false, nil)
	must(err)
	must(publisher.Confirm(false))
	consumer, err := connection.Channel()
	must(err)
	deliveries, err := consumer.Consume("many", "", false, false, false, false, nil)
	must(err)

	var confirmations []*amqp.DeferredConfirmation
	for i := 0; i < count; i++ {
		message := amqp.Publishing{Body: []byte("message")}
		confirmation, err := publisher.PublishWithDeferredConfirm("", "many", false, false, message)
		must(err)
		confirmations = append(confirmations, confirmation)
	}
	for i := 1; i <= count; i++ {
		delivery := <-deliveries
		if i%10 == 0 {
			must(delivery.Ack(true))
		}
	}
	for _, confirmation := range confirmations {
		if acked, err := confirmation.WaitContext(context.Background()); err != nil || !acked {
			log.Fatal("not confirmed: ", err)
		}
	}
	must(connection.Close())
}
