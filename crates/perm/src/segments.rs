// SPDX-License-Identifier: Apache-2.0
//! One batch of a quicksort whose comparisons are opened: which rows are compared, and how the outcomes rearrange them.
//!
//! A segment is a range of places. The first ones of a batch are parted: their first row is compared with all others. In
//! the rest every pair is compared, which puts them in order.

use std::ops::Range;

use crate::IndexOutOfRange;

/// Segments of an array of rows, of which the first `parted` are parted.
#[derive(Debug)]
pub struct Segments {
    ranges: Vec<Range<usize>>,
    parted: usize,
}

impl Segments {
    /// Those with these starts and sizes.
    ///
    /// # Errors
    ///
    /// [`IndexOutOfRange`] where one of them is no range of `rows` places.
    pub fn new(
        rows: usize,
        starts: &[isize],
        sizes: &[isize],
        parted: usize,
    ) -> Result<Self, IndexOutOfRange> {
        let range = |(start, size): (&isize, &isize)| {
            // A negative number is a large one.
            let (start, size) = (*start as usize, *size as usize);
            let end = start.checked_add(size).filter(|end| *end <= rows);
            end.map(|end| start..end).ok_or(IndexOutOfRange)
        };
        let ranges = starts.iter().zip(sizes).map(range);
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        assert!(parted <= ranges.len());
        Ok(Segments { ranges, parted })
    }

    /// How many of them are parted.
    pub fn parted(&self) -> usize {
        self.parted
    }

    /// How many comparisons they take.
    pub fn comparisons(&self) -> usize {
        let (parted, rest) = self.ranges.split_at(self.parted);
        let others: usize = parted
            .iter()
            .map(|range| range.len().saturating_sub(1))
            .sum();
        let pairs = rest.iter().map(|range| pairs(range.len()));
        pairs.fold(others, usize::saturating_add)
    }

    /// The rows to compare, one segment after the other; what is left of `left` and `right` compares a row with itself.
    pub fn pairs(&self, left: &mut [isize], right: &mut [isize], rows: &[isize]) {
        assert!(left.len() == right.len() && left.len() >= self.comparisons());
        let mut done = 0;
        for (i, range) in self.ranges.iter().enumerate() {
            let segment = &rows[range.clone()];
            let firsts = if i < self.parted { 1 } else { segment.len() };
            for (at, row) in segment.iter().enumerate().take(firsts) {
                let others = &segment[at + 1..];
                // What is parted asks which rows come before the first, the rest which come after.
                let (first, second) = if i < self.parted {
                    (&mut *right, &mut *left)
                } else {
                    (&mut *left, &mut *right)
                };
                first[done..][..others.len()].fill(*row);
                second[done..][..others.len()].copy_from_slice(others);
                done += others.len();
            }
        }
        let idle = rows.first().copied().unwrap_or_default();
        left[done..].fill(idle);
        right[done..].fill(idle);
    }

    /// Rearranges `rows` by whether the left one of each pair comes before the right one; what is parted keeps its order on
    /// both sides of its pivot, and `less` becomes how many rows come before that.
    pub fn arrange(&self, rows: &mut [isize], less: &mut [isize], outcomes: &[bool]) {
        assert!(less.len() == self.parted && outcomes.len() >= self.comparisons());
        let (mut outcomes, mut before, mut ranks) = (outcomes, Vec::new(), Vec::new());
        for (i, range) in self.ranges.iter().enumerate() {
            let segment = &mut rows[range.clone()];
            let count = if i < self.parted {
                segment.len().saturating_sub(1)
            } else {
                pairs(segment.len())
            };
            let (own, rest) = outcomes.split_at(count);
            outcomes = rest;
            before.clear();
            before.extend_from_slice(segment);
            if let Some(less) = less.get_mut(i) {
                *less = part(segment, &before, own) as isize;
            } else {
                rank(&mut ranks, segment.len(), own);
                for (rank, row) in ranks.iter().zip(&before) {
                    segment[*rank as usize] = *row;
                }
            }
        }
    }
}

/// How many pairs there are of so many rows.
fn pairs(rows: usize) -> usize {
    rows.saturating_mul(rows.saturating_sub(1)) / 2
}

/// Puts rows of `before` that come before its first one there, then that one, then the others; how many come before it.
fn part(segment: &mut [isize], before: &[isize], lower: &[bool]) -> usize {
    let Some((pivot, others)) = before.split_first() else {
        return 0;
    };
    let less = lower.iter().filter(|lower| **lower).count();
    let mut places = [0, less + 1];
    for (row, lower) in others.iter().zip(lower) {
        let place = &mut places[usize::from(!*lower)];
        segment[*place] = *row;
        *place += 1;
    }
    segment[less] = *pivot;
    less
}

/// The place of each of `size` rows, of whose pairs it is given whether the left one comes before the right one.
fn rank(ranks: &mut Vec<u32>, size: usize, won: &[bool]) {
    ranks.clear();
    ranks.resize(size, 0);
    let mut won = won;
    for left in 0..size {
        let (own, rest) = won.split_at(size - left - 1);
        won = rest;
        let mut above = own.len() as u32;
        for (rank, won) in ranks[left + 1..].iter_mut().zip(own) {
            // Of each pair one row has the other before it.
            *rank += u32::from(*won);
            above -= u32::from(*won);
        }
        ranks[left] += above;
    }
}
