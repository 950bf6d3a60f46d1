package org.example;

/** What the provider offers. */
public interface Stock {
    int count(String article);

    String take(String article) throws OutOfStock;

    void forget(String article);
}
