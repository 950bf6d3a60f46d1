//! Requests that wait for their responses: in order, or by an id. Bounded.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::{Detail, Exchange, Moment, Outcome};

/// A request that waits for its response, or whose response is under way.
#[derive(Debug)]
pub struct Pending<D> {
    /// First byte of the request.
    pub start: Moment,
    /// First byte of the response, nanoseconds.
    pub first_byte: Option<u64>,
    /// What is known of it.
    pub detail: Box<D>,
}

impl<D: Detail + 'static> Pending<D> {
    /// A request that began at `start`.
    pub fn new(start: Moment, detail: D) -> Self {
        Self { start, first_byte: None, detail: Box::new(detail) }
    }

    /// Tells it, as it ended at `end` (nanoseconds).
    pub fn tell(self, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) {
        let start = self.start.time;
        let first_byte = self.first_byte.map(|time| time.max(start));
        let end = end.max(first_byte.unwrap_or(start));
        out.push(Exchange { start: self.start, first_byte, end, outcome, detail: self.detail });
    }
}

/// Requests whose responses come in their order.
#[derive(Debug)]
pub struct InOrder<D> {
    waiting: VecDeque<Pending<D>>,
    limit: usize,
}

impl<D: Detail + 'static> InOrder<D> {
    /// None yet, and never more than `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), limit }
    }

    /// The last in the queue; given back if there are too many.
    ///
    /// # Errors
    /// The request, when the limit is reached.
    pub fn push(&mut self, request: Pending<D>) -> Result<(), Pending<D>> {
        if self.waiting.len() >= self.limit {
            return Err(request);
        }
        self.waiting.push_back(request);
        Ok(())
    }

    /// The one whose response comes next.
    #[must_use]
    pub fn front(&self) -> Option<&Pending<D>> {
        self.waiting.front()
    }

    /// How many wait before the first for which `is` holds.
    pub fn find(&self, is: impl FnMut(&Pending<D>) -> bool) -> Option<usize> {
        self.waiting.iter().position(is)
    }

    /// The one before which so many wait.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Pending<D>> {
        self.waiting.get(index)
    }

    /// As [`front`](Self::front), to be changed.
    pub fn front_mut(&mut self) -> Option<&mut Pending<D>> {
        self.waiting.front_mut()
    }

    /// The one that was sent last.
    pub fn back_mut(&mut self) -> Option<&mut Pending<D>> {
        self.waiting.back_mut()
    }

    /// Takes the one whose response has come.
    pub fn pop(&mut self) -> Option<Pending<D>> {
        self.waiting.pop_front()
    }

    /// Takes the first for which `is` holds: most often the next, unless responses may overtake each other.
    pub fn take_first(&mut self, is: impl FnMut(&Pending<D>) -> bool) -> Option<Pending<D>> {
        let index = self.waiting.iter().position(is)?;
        self.waiting.remove(index)
    }

    /// All that wait, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Pending<D>> {
        self.waiting.iter()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// None waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All end now, with the same outcome; how many.
    pub fn tell_all(&mut self, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) -> u64 {
        let many = self.waiting.len() as u64;
        for request in self.waiting.drain(..) {
            request.tell(end, outcome, out);
        }
        many
    }
}

/// Requests whose responses name them.
#[derive(Debug)]
pub struct ById<K, D> {
    waiting: FxHashMap<K, Pending<D>>,
    limit: usize,
}

impl<K: Eq + Hash + Copy + Debug, D: Detail + 'static> ById<K, D> {
    /// None yet, and never more than `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { waiting: FxHashMap::default(), limit }
    }

    /// Adds a request. An older one of the same id is given back: its response was never seen. So is the request itself
    /// if there are too many.
    pub fn insert(&mut self, id: K, request: Pending<D>) -> Insert<D> {
        if self.waiting.len() >= self.limit && !self.waiting.contains_key(&id) {
            return Insert::Full(request);
        }
        match self.waiting.insert(id, request) {
            Some(older) => Insert::Replaced(older),
            None => Insert::Added,
        }
    }

    /// The one with this id.
    pub fn get_mut(&mut self, id: K) -> Option<&mut Pending<D>> {
        self.waiting.get_mut(&id)
    }

    /// Takes the one with this id.
    pub fn remove(&mut self, id: K) -> Option<Pending<D>> {
        self.waiting.remove(&id)
    }

    /// The id of the only one for whose id `holds` holds; `None` if there is none, or several.
    pub fn only(&self, mut holds: impl FnMut(K) -> bool) -> Option<K> {
        let mut found = self.waiting.keys().copied().filter(|id| holds(*id));
        found.next().filter(|_| found.next().is_none())
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// None waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes those for which `leave` holds, oldest first.
    pub fn take_where(&mut self, mut leave: impl FnMut(K, &Pending<D>) -> bool) -> Vec<Pending<D>> {
        let mut ids: Vec<(u64, K)> = self
            .waiting
            .iter()
            .filter(|(id, request)| leave(**id, request))
            .map(|(id, request)| (request.start.time, *id))
            .collect();
        ids.sort_by_key(|(time, _)| *time);
        ids.into_iter().filter_map(|(_, id)| self.waiting.remove(&id)).collect()
    }

    /// All end now, with the same outcome, oldest first; how many.
    pub fn tell_all(&mut self, end: u64, outcome: Outcome, out: &mut Vec<Exchange>) -> u64 {
        let all = self.take_where(|_, _| true);
        let many = all.len() as u64;
        for request in all {
            request.tell(end, outcome, out);
        }
        many
    }
}

/// What became of a request given to [`ById::insert`].
#[derive(Debug)]
pub enum Insert<D> {
    /// It waits.
    Added,
    /// It waits, in the place of this one.
    Replaced(Pending<D>),
    /// There are too many.
    Full(Pending<D>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Description, Scene};

    #[derive(Debug)]
    struct Named(u32);

    impl Detail for Named {
        fn describe(&self, _exchange: &Exchange, _scene: &Scene<'_>) -> Description {
            Description::default()
        }
    }

    fn request(name: u32) -> Pending<Named> {
        Pending::new(Moment { time: name.into(), ..Moment::default() }, Named(name))
    }

    /// Requests in order are found by what they are, and no more than the limit wait.
    #[test]
    fn in_order() {
        let mut waiting = InOrder::new(3);
        assert!(waiting.front().is_none());
        for name in 5..8 {
            assert!(waiting.push(request(name)).is_ok());
        }
        assert!(waiting.push(request(8)).is_err());
        assert_eq!(waiting.front().map(|request| request.detail.0), Some(5));
        assert_eq!(waiting.find(|request| request.detail.0 == 7), Some(2));
        assert_eq!(waiting.find(|request| request.detail.0 == 8), None);
        assert_eq!(waiting.get(1).map(|request| request.detail.0), Some(6));
        assert!(waiting.get(3).is_none());
        let mut out = Vec::new();
        assert_eq!(waiting.tell_all(100, Outcome::Unfinished, &mut out), 3);
        assert_eq!(out.iter().map(|exchange| exchange.start.time).collect::<Vec<_>>(), [5, 6, 7]);
    }

    /// A request takes the place of an older one with its id; those that leave do so oldest first.
    #[test]
    fn by_id() {
        let mut waiting = ById::new(2);
        assert!(matches!(waiting.insert(1, request(5)), Insert::Added));
        assert!(matches!(waiting.insert(2, request(4)), Insert::Added));
        assert!(matches!(waiting.insert(3, request(7)), Insert::Full(_)));
        assert!(matches!(waiting.insert(1, request(6)), Insert::Replaced(older) if older.detail.0 == 5));
        let left = waiting.take_where(|_, _| true);
        assert_eq!(left.iter().map(|request| request.detail.0).collect::<Vec<_>>(), [4, 6]);
        assert!(waiting.is_empty());
    }
}
