package org.example;

/** Thrown by {@link Stock#take}. */
public class OutOfStock extends Exception {
    public OutOfStock(String message) {
        super(message);
    }
}
