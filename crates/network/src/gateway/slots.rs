//! Things with a small number each, which is used again; a key of something that is gone finds nothing.

/// Where something is, and which something it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Its place.
    pub(crate) index: u32,
    /// How often the place was used before; 24 bits.
    pub(crate) generation: u32,
}

/// Things by key.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    most: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    thing: Option<T>,
}

impl Key {
    const GENERATIONS: u32 = 1 << 24;
}

impl<T> Slots<T> {
    /// Room for `most` things; it costs nothing until they are there.
    pub(crate) const fn new(most: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), most }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.most
    }

    /// Puts a thing, made knowing its key; nothing where no room is.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        if !self.has_room() {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.places.len()).ok()?;
                self.places.push(Place { generation: 0, thing: None });
                index
            }
        };
        let place = self.places.get_mut(index as usize)?;
        let key = Key { index, generation: place.generation };
        place.thing = Some(make(key));
        Some(key)
    }

    /// Puts a thing; nothing where no room is.
    pub(crate) fn insert(&mut self, thing: T) -> Option<Key> {
        self.insert_with(|_| thing)
    }

    /// The thing, if it is still there.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.places.get(key.index as usize).filter(|place| place.generation == key.generation)?.thing.as_ref()
    }

    /// The thing, to change it.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.places.get_mut(key.index as usize).filter(|place| place.generation == key.generation)?.thing.as_mut()
    }

    /// Takes the thing away.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize).filter(|place| place.generation == key.generation)?;
        let thing = place.thing.take()?;
        place.generation = (place.generation + 1) % Key::GENERATIONS;
        self.free.push(key.index);
        Some(thing)
    }

    /// All things with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0..).filter_map(|(place, index)| {
            place.thing.as_ref().map(|thing| (Key { index, generation: place.generation }, thing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_something_gone_finds_nothing() {
        let mut slots = Slots::new(2);
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second").unwrap();
        assert_eq!(first.index, second.index);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn there_are_never_more_than_asked_for() {
        let mut slots = Slots::new(1);
        let only = slots.insert(1).unwrap();
        assert_eq!(slots.insert(2), None);
        slots.remove(only);
        assert!(slots.insert(3).is_some());
        assert_eq!(slots.iter().map(|(_, thing)| *thing).collect::<Vec<_>>(), [3]);
    }
}
