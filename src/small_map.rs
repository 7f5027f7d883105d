//! A map for few entries each, of which there are many: a sorted list, exactly as long as it has
//! to be while it is short. A hash table has room for four entries and a group of marks at least.

use std::mem;

/// The map. Look-ups are binary searches; an insertion moves what is above it.
#[derive(Debug)]
pub(crate) struct SmallMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + Ord, V> SmallMap<K, V> {
    fn place(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(known, _)| *known)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Returns the value of a key, which is the default one if it had none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = self.place(key).unwrap_or_else(|at| {
            self.add(at, key, V::default());
            at
        });
        &mut self.0[at].1
    }

    /// Sets the value of a key; returns the one that it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(key) {
            Ok(at) => Some(mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.add(at, key, value);
                None
            }
        }
    }

    fn add(&mut self, at: usize, key: K, value: V) {
        if self.0.len() == self.0.capacity() {
            // By half of it, so that many insertions cost no more than twice their moves.
            self.0.reserve_exact((self.0.len() / 2).max(1));
        }
        self.0.insert(at, (key, value));
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.place(key).ok()?;
        let (_, value) = self.0.remove(at);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(*key, value));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut map = SmallMap::default();
        for key in [5, 1, 3, 2, 4, 3] {
            *map.get_or_default(key) += key;
        }
        let entries =
            |map: &SmallMap<i32, i32>| map.iter().map(|(k, v)| (k, *v)).collect::<Vec<_>>();
        assert_eq!(entries(&map), [(1, 1), (2, 2), (3, 6), (4, 4), (5, 5)]);
        assert_eq!((map.insert(3, 0), map.insert(6, 6)), (Some(6), None));
        assert_eq!((map.get(3), map.get(0)), (Some(&0), None));
        assert_eq!((map.remove(6), map.remove(6)), (Some(6), None));
        map.retain(|key, value| {
            *value += 1;
            key % 2 == 1
        });
        assert_eq!(entries(&map), [(1, 2), (3, 1), (5, 6)]);
    }

    #[test]
    fn one_entry_has_room_for_one() {
        let mut map = SmallMap::default();
        map.insert(1, ());
        assert_eq!(map.0.capacity(), 1);
        map.remove(1);
        assert_eq!(map.0.capacity(), 0);
    }
}
