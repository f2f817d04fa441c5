// SPDX-License-Identifier: Apache-2.0
//! A straight line of steps on few shares, repeated: all that a party computes from one message to the next.
//!
//! The protocols are those of protocols/rep3.py, message by message: products with and without truncation (`_cross`,
//! `_truncate`) and linear combinations. Where numbers are few, calling each kernel from Python takes several times as
//! long as the arithmetic.

use tacit_bits::packed_len;
use tacit_prg::PrgKey;
use tacit_simd::Path;

use crate::gates::{Ring, rep3_product};
use crate::thirds::{Role, Thirds};
use crate::trunc::{trunc_exchange, trunc_finish, trunc_send};

/// Both parts of a vector of shares.
type Shares = [Vec<u64>; 2];

/// What a step does; registers are named by their place.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// `a x + b y` of registers x and y, for public a and b.
    Combine([usize; 2], [u64; 2]),
    /// `x y`, truncated by f bits unless f is 0.
    Product([usize; 2], usize),
    /// `x / 2^f`.
    Truncate(usize, usize),
}

/// A step, and the register that its result goes to.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The register.
    pub out: usize,
    /// What is put there.
    pub work: Work,
}

/// One exchange: what goes to the next party and to the one before, and how many bytes come from each.
#[derive(Debug, PartialEq, Eq)]
pub struct Round {
    /// To the next party, and to the one before.
    pub sends: [Vec<u8>; 2],
    /// From the next party, and from the one before.
    pub expects: [usize; 2],
}

/// What is done with the messages that come next.
enum Wait {
    Nothing,
    /// They complete a product.
    Product(Vec<u64>),
    /// They complete what is to be truncated, as far as this party needs it.
    Factor(Vec<u64>, usize),
    /// Role 0's message of a truncation: of this value, into these shares, with streams from here on.
    High(Shares, Shares, usize, u64),
    /// The wraps, of which this party sent these.
    Wraps(Shares, Shares, usize, [Vec<u8>; 2]),
}

/// A line at one party.
pub struct Line {
    path: Path,
    thirds: Thirds,
    stream: u64,
    registers: Vec<Shares>,
    steps: Vec<Step>,
    carried: Vec<usize>,
    trips: usize,
    at: usize,
    wait: Wait,
}

impl Line {
    /// A line for registers of the length of `thirds`; after each trip but the last, register k gets what is in register
    /// `carried[k]`. Its streams are those from `stream` on.
    pub fn new(
        path: Path,
        thirds: Thirds,
        stream: u64,
        registers: Vec<Shares>,
        steps: Vec<Step>,
        carried: Vec<usize>,
        trips: usize,
    ) -> Self {
        assert!(
            trips > 0
                && registers
                    .iter()
                    .flatten()
                    .all(|part| part.len() == thirds.len())
        );
        Self {
            path,
            thirds,
            stream,
            registers,
            steps,
            carried,
            trips,
            at: 0,
            wait: Wait::Nothing,
        }
    }

    /// Takes what came from the next party and from the one before, as the last round expects, and goes on to the next
    /// one; None at the end.
    pub fn advance(&mut self, keys: [&PrgKey; 2], received: [&[u8]; 2]) -> Option<Round> {
        if let Some(round) = self.receive(keys, received) {
            return Some(round);
        }
        loop {
            let Some(Step { out, work }) = self.steps.get(self.at).copied() else {
                self.trips = self.trips.saturating_sub(1);
                if self.trips == 0 {
                    return None;
                }
                let carried: Vec<Shares> = self.results();
                for (register, value) in self.registers.iter_mut().zip(carried) {
                    *register = value;
                }
                self.at = 0;
                continue;
            };
            match work {
                Work::Combine([x, y], [a, b]) => {
                    let (x, y) = (&self.registers[x], &self.registers[y]);
                    let part = |k: usize| {
                        let terms = x[k].iter().zip(&y[k]);
                        let sum =
                            terms.map(|(x, y)| x.wrapping_mul(a).wrapping_add(y.wrapping_mul(b)));
                        sum.collect()
                    };
                    self.registers[out] = [part(0), part(1)];
                    self.at += 1;
                }
                Work::Product([x, y], f) => return Some(self.product(keys, x, y, f)),
                Work::Truncate(x, f) => {
                    let [a, b] = self.registers[x].clone();
                    return Some(self.truncate(keys, [a, b], f));
                }
            }
        }
    }

    /// What the carried registers hold after the last trip.
    pub fn results(&self) -> Vec<Shares> {
        let result = |&register: &usize| self.registers[register].clone();
        self.carried.iter().map(result).collect()
    }

    /// How many streams all its trips together use; before the first round.
    pub fn streams(&self) -> Option<u64> {
        let step = |step: &Step| match step.work {
            Work::Combine(..) => 0,
            Work::Product(_, 0) => 1,
            Work::Product(..) => 10,
            Work::Truncate(..) => 9,
        };
        let trip: u64 = self.steps.iter().map(step).sum();
        trip.checked_mul(self.trips as u64)
    }

    fn reserve(&mut self, count: u64) -> u64 {
        self.stream += count;
        self.stream - count
    }

    fn product(&mut self, keys: [&PrgKey; 2], x: usize, y: usize, f: usize) -> Round {
        let step = self.reserve(1);
        let ([x0, x1], [y0, y1]) = (&self.registers[x], &self.registers[y]);
        let mut z = vec![0; self.thirds.len()];
        rep3_product::<Ring>(self.path, 1, &mut z, x0, x1, y0, y1, keys[0], keys[1], step);
        if f == 0 {
            let round = Round {
                sends: [Vec::new(), bytes(&z)],
                expects: [8 * z.len(), 0],
            };
            self.wait = Wait::Product(z);
            return round;
        }
        // Roles 1 and 2 of a truncation need only their own parts and each other's.
        let (zero, two) = (
            self.thirds.elements(Role::Zero),
            self.thirds.elements(Role::Two),
        );
        let round = Round {
            sends: [
                Vec::new(),
                [bytes(&z[..zero.start]), bytes(&z[zero.end..])].concat(),
            ],
            expects: [8 * (z.len() - two.len()), 0],
        };
        self.wait = Wait::Factor(z, f);
        round
    }

    fn truncate(&mut self, keys: [&PrgKey; 2], x: Shares, f: usize) -> Round {
        let step = self.reserve(9);
        let mut y = [vec![0; self.thirds.len()], vec![0; self.thirds.len()]];
        let [mut message, expected] = [Role::Zero, Role::One].map(|role| {
            let n = self.thirds.elements(role).len();
            vec![0; 8 * n + packed(n, f)]
        });
        let [y0, y1] = &mut y;
        trunc_send(
            self.path,
            self.thirds,
            &mut message,
            [y0, y1],
            [&x[0], &x[1]],
            f,
            false,
            keys,
            step,
        );
        self.wait = Wait::High(x, y, f, step);
        Round {
            sends: [message, Vec::new()],
            expects: [0, expected.len()],
        }
    }

    /// Goes on with the step that waits; None where it has its result, or where none waits.
    fn receive(&mut self, keys: [&PrgKey; 2], [next, before]: [&[u8]; 2]) -> Option<Round> {
        let result = match std::mem::replace(&mut self.wait, Wait::Nothing) {
            Wait::Nothing => return None,
            Wait::Product(z) => [z, words(next)],
            Wait::Factor(z, f) => {
                let two = self.thirds.elements(Role::Two);
                let (first, last) = next.split_at(8 * two.start);
                let mut following = words(first);
                following.resize(two.end, 0);
                following.extend(words(last));
                return Some(self.truncate(keys, [z, following], f));
            }
            Wait::High(x, mut y, f, step) => {
                let [mut m1, mut m2] = [Role::One, Role::Two]
                    .map(|role| vec![0; packed(self.thirds.elements(role).len(), f)]);
                let [y0, y1] = &mut y;
                trunc_exchange(
                    self.path,
                    self.thirds,
                    [&mut m1, &mut m2],
                    [y0, y1],
                    [&x[0], &x[1]],
                    before,
                    f,
                    keys,
                    step,
                );
                let sent = [m1, m2];
                let round = Round {
                    expects: [sent[0].len(), sent[1].len()],
                    sends: sent.clone(),
                };
                self.wait = Wait::Wraps(x, y, f, sent);
                return Some(round);
            }
            Wait::Wraps(x, mut y, f, sent) => {
                let [y0, y1] = &mut y;
                let (path, sent) = (self.path, [&sent[0][..], &sent[1][..]]);
                let received = [next, before];
                trunc_finish(
                    path,
                    self.thirds,
                    [y0, y1],
                    [&x[0], &x[1]],
                    sent,
                    received,
                    f,
                );
                y
            }
        };
        self.registers[self.steps[self.at].out] = result;
        self.at += 1;
        None
    }
}

fn packed(n: usize, bits: usize) -> usize {
    packed_len(n, bits).expect("a line is about few elements")
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.as_chunks::<8>().0.iter();
    words.map(|word| u64::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three parties that hand each other their messages: the sums of the parts of the first result.
    fn run(n: usize, values: &[u64], steps: &[Step], carried: &[usize], trips: usize) -> Vec<u64> {
        let keys: Vec<PrgKey> = (0..3).map(|j| PrgKey::new(&[j; 16])).collect();
        let mut lines: Vec<Line> = (0..3)
            .map(|me| {
                // x0 = 7, x1 = 11 and the rest in x2.
                let part = |k: usize, x: u64| [7, 11, x.wrapping_sub(18)][k % 3];
                let register = |&x: &u64| [vec![part(me, x); n], vec![part(me + 1, x); n]];
                let registers = values.iter().map(register).collect();
                let thirds = Thirds::new(me, n);
                Line::new(
                    Path::active(),
                    thirds,
                    5,
                    registers,
                    steps.to_vec(),
                    carried.to_vec(),
                    trips,
                )
            })
            .collect();
        assert!(lines.iter().all(|line| line.streams().is_some()));
        let mut sent: [[Vec<u8>; 2]; 3] = Default::default();
        loop {
            let rounds: Vec<Option<Round>> = (0..3)
                .map(|me| {
                    let received = [&sent[(me + 1) % 3][1][..], &sent[(me + 2) % 3][0][..]];
                    lines[me].advance([&keys[me], &keys[(me + 1) % 3]], received)
                })
                .collect();
            if rounds.iter().all(Option::is_none) {
                break;
            }
            let rounds: Vec<Round> = rounds.into_iter().map(|r| r.expect("in step")).collect();
            for me in 0..3 {
                let got = [
                    rounds[(me + 1) % 3].sends[1].len(),
                    rounds[(me + 2) % 3].sends[0].len(),
                ];
                assert_eq!(rounds[me].expects, got);
            }
            for (sent, round) in sent.iter_mut().zip(rounds) {
                *sent = round.sends;
            }
        }
        let results: Vec<Shares> = lines
            .iter()
            .map(|line| line.results().swap_remove(0))
            .collect();
        for me in 0..3 {
            assert_eq!(results[me][1], results[(me + 1) % 3][0]);
        }
        (0..n)
            .map(|i| {
                results
                    .iter()
                    .fold(0u64, |sum, r| sum.wrapping_add(r[0][i]))
            })
            .collect()
    }

    #[test]
    fn a_recurrence_of_integers() {
        // v = 3 - 2 v y, with y = 5, for four trips from 1.
        let steps = [
            Step {
                out: 3,
                work: Work::Product([0, 1], 0),
            },
            Step {
                out: 4,
                work: Work::Combine([2, 3], [1, 2u64.wrapping_neg()]),
            },
        ];
        let want = (0..4).fold(1i64, |v, _| 3 - 2 * v * 5);
        for n in [1, 63, 64, 200] {
            let got = run(n, &[1, 5, 3, 0, 0], &steps, &[4], 4);
            assert_eq!(got, vec![want as u64; n]);
        }
    }

    #[test]
    fn truncation_is_within_a_unit_a_step() {
        let (f, x) = (20, 3 << 20);
        let steps = [
            Step {
                out: 1,
                work: Work::Product([0, 0], f),
            },
            Step {
                out: 2,
                work: Work::Truncate(1, 1),
            },
        ];
        for n in [1, 65, 200] {
            for got in run(n, &[x, 0, 0], &steps, &[2], 1) {
                assert!((9i64 << 19).abs_diff(got as i64) <= 2);
            }
        }
    }
}
