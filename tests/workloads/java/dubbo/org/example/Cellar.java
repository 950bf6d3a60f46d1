package org.example;

/** What nobody offers. */
public interface Cellar {
    int depth();
}
