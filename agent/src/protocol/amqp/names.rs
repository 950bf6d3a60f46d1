//! What destinations are called.
//!
//! A message's destination is an exchange and a routing key, and for its consumer a queue too
//! (semantic conventions for RabbitMQ). Routing keys may be as many as there are users, so span names have the exchange, or
//! where that is the default one the queue that the routing key names.

/// What stands for the name of a queue that the server chose, or that looks like one made for a single use.
pub(super) const ANONYMOUS: &str = "(anonymous)";
/// So many hexadecimal digits in a row are no name that somebody gave.
const RANDOM: usize = 20;

/// Is this a name that nobody chose? Such names are as many as there are connections.
pub(super) fn is_generated(name: &str) -> bool {
    name.starts_with("amq.gen-") || name.starts_with("amq.rabbitmq.reply-to") || has_random(name.as_bytes())
}

/// A UUID, or as many hexadecimal digits without its hyphens.
fn has_random(name: &[u8]) -> bool {
    let mut digits = 0;
    for (index, byte) in name.iter().enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => digits += 1,
            b'-' if digits > 0 && name.get(index + 1).is_some_and(u8::is_ascii_hexdigit) => {}
            _ => digits = 0,
        }
        if digits >= RANDOM {
            return true;
        }
    }
    false
}

/// `messaging.destination.name`: those of the parts that there are, joined by colons; a queue that is called like the routing
/// key is not said twice.
pub(super) fn destination(exchange: &str, key: &str, queue: Option<&str>) -> String {
    let queue = queue.filter(|queue| *queue != key).unwrap_or_default();
    let mut name = String::with_capacity(exchange.len() + key.len() + queue.len() + 2);
    for part in [exchange, key, queue] {
        if !part.is_empty() {
            if !name.is_empty() {
                name.push(':');
            }
            name.push_str(part);
        }
    }
    // The name that the conventions give to the default exchange.
    if name.is_empty() { "amq.default".to_owned() } else { name }
}

/// The part of a destination that is the same for many messages; and whether it stands for names that nobody chose.
pub(super) fn template<'a>(exchange: &'a str, key: &'a str, queue: Option<&'a str>) -> (&'a str, bool) {
    let name = match queue {
        Some(queue) => queue,
        None if exchange.is_empty() => key,
        None => exchange,
    };
    match name {
        "" => ("amq.default", false),
        name if is_generated(name) => (ANONYMOUS, true),
        name => (name, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of which names.
    #[test]
    fn names() {
        assert_eq!(destination("orders", "eu.new", None), "orders:eu.new");
        assert_eq!(destination("", "mail", None), "mail");
        assert_eq!(destination("", "mail", Some("mail")), "mail");
        assert_eq!(destination("orders", "eu.new", Some("billing")), "orders:eu.new:billing");
        assert_eq!(destination("", "", None), "amq.default");
        assert_eq!(template("orders", "eu.new", None), ("orders", false));
        assert_eq!(template("", "amq.gen-JzTY20BRgKO-HjmUJj0wLg", None), (ANONYMOUS, true));
        assert_eq!(template("", "reply.0d1f8a52-6a1c-4d0e-9d0e-2f6f3c1a7b11", None), (ANONYMOUS, true));
        assert_eq!(template("orders", "k", Some("billing")), ("billing", false));
        assert!(!is_generated("feed-face-cafe.orders"));
    }
}
