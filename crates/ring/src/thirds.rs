// SPDX-License-Identifier: Apache-2.0
//! The rotation of roles over thirds of a vector.

use std::ops::Range;

/// What a party knows of x = x0 + x1 + x2 in one third: role 0 knows c = x0 + x1, roles 1 and 2 know r = x2.
///
/// A party in role q holds components q and q + 1, so for roles 1 and 2 r is its second and its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Knows c.
    Zero,
    /// Knows r, holds (x1, r), and shares with role 0 the key of its first component.
    One,
    /// Knows r, holds (r, x0), and shares with role 0 the key of its second component.
    Two,
}

impl Role {
    /// Of two things that belong to a party's two components, that which belongs to r; for roles 1 and 2.
    pub fn clear<T: Copy>(self, [first, second]: [T; 2]) -> T {
        if self == Role::Two { first } else { second }
    }

    /// Of two things that belong to a party's two components, that which it shares with role 0; for roles 1 and 2.
    pub fn shared<T: Copy>(self, [first, second]: [T; 2]) -> T {
        if self == Role::Two { second } else { first }
    }
}

/// The thirds of a vector of n elements, cut at words of 64, as party `me` sees them: one for each role.
#[derive(Clone, Copy, Debug)]
pub struct Thirds {
    me: usize,
    n: usize,
}

impl Thirds {
    /// For a party 0, 1 or 2.
    pub fn new(me: usize, n: usize) -> Self {
        assert!(me < 3);
        Self { me, n }
    }

    /// The number of elements of all thirds.
    pub fn len(self) -> usize {
        self.n
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.n == 0
    }

    /// Which third it is where this party has `role`; a step's streams are numbered by it.
    pub fn turn(self, role: Role) -> usize {
        (self.me + 3 - role as usize) % 3
    }

    /// The words of bit planes in which this party has `role`.
    pub fn words(self, role: Role) -> Range<usize> {
        let (words, turn) = (self.n.div_ceil(64), self.turn(role));
        words * turn / 3..words * (turn + 1) / 3
    }

    /// The elements in which this party has `role`.
    pub fn elements(self, role: Role) -> Range<usize> {
        let words = self.words(role);
        self.n.min(64 * words.start)..self.n.min(64 * words.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_each_role_at_one_party() {
        for n in [0, 1, 64, 65, 128, 129, 1000] {
            for role in [Role::Zero, Role::One, Role::Two] {
                let mut parties = vec![0; n];
                for me in 0..3 {
                    for at in Thirds::new(me, n).elements(role) {
                        parties[at] += 1;
                    }
                }
                assert_eq!(parties, vec![1; n]);
            }
        }
    }
}
