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
