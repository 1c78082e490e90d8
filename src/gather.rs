//! Lists of what comes one by one.

/// Any iterator.
pub(crate) trait Gather: Iterator + Sized {
    /// All that is left of it. `collect` asks how much it will be, which for most of ours nobody knows, and has a copy of that for each place.
    fn gathered(self) -> Vec<Self::Item> {
        let mut list = Vec::new();
        self.for_each(|item| list.push(item));
        list
    }
}

impl<I: Iterator> Gather for I {}

/// A list that takes more.
pub(crate) trait GatherInto<T> {
    /// All of them, behind what is there. `extend` asks as `collect` does.
    fn gather(&mut self, items: impl IntoIterator<Item = T>);
}

impl<T> GatherInto<T> for Vec<T> {
    fn gather(&mut self, items: impl IntoIterator<Item = T>) {
        items.into_iter().for_each(|item| self.push(item));
    }
}
