// SPDX-License-Identifier: Apache-2.0
//! The frame: 40 header bytes, then the payload.
//!
//! ```text
//! offset  bytes  field
//!      0      4  magic and version: "TCT" 0x01
//!      4      1  kind: 1 DATA, 2 ABORT, 3 HEARTBEAT, 4 BYE, 5 CONTROL
//!      5      3  zero
//!      8     16  session identifier
//!     24      8  step, little endian
//!     32      8  payload length in bytes, little endian
//! ```

use crate::fault::{Cause, Fault};

/// The 16 bytes that name a session.
pub type SessionId = [u8; 16];

/// Length of a header.
pub const HEADER_BYTES: usize = 40;

const MAGIC: [u8; 4] = *b"TCT\x01";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One party's message of one round.
    Data = 1,
    /// The sender gave up; the payload is the JSON of its record of the cause.
    Abort = 2,
    /// Nothing but a sign of life.
    Heartbeat = 3,
    /// The sender has finished this session.
    Bye = 4,
    /// Requests and answers outside sessions.
    Control = 5,
}

impl Kind {
    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Kind::Data,
            2 => Kind::Abort,
            3 => Kind::Heartbeat,
            4 => Kind::Bye,
            5 => Kind::Control,
            _ => return None,
        })
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The session it belongs to.
    pub session: SessionId,
    /// The round it belongs to.
    pub step: u64,
    /// Payload length in bytes.
    pub length: u64,
}

impl Header {
    /// The 40 bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.kind as u8;
        out[8..24].copy_from_slice(&self.session);
        out[24..32].copy_from_slice(&self.step.to_le_bytes());
        out[32..].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    /// Reads 40 bytes; the inverse of `encode`. Any other input is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let malformed =
            |what: &str| Fault::new(Cause::Malformed, what).expected("a frame of version 1");
        let bytes: &[u8; HEADER_BYTES] = bytes
            .try_into()
            .map_err(|_| malformed("a short frame header"))?;
        if bytes[..4] != MAGIC {
            return Err(malformed("a frame with another magic number or version"));
        }
        if bytes[5..8] != [0; 3] {
            return Err(malformed("a frame header with reserved bytes set"));
        }
        let kind = Kind::from_u8(bytes[4]).ok_or_else(|| malformed("a frame of unknown kind"))?;
        let mut session = [0; 16];
        session.copy_from_slice(&bytes[8..24]);
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[24..32]);
        let step = u64::from_le_bytes(word);
        word.copy_from_slice(&bytes[32..]);
        Ok(Header {
            kind,
            session,
            step,
            length: u64::from_le_bytes(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bytes stand in tests/test_transport_frame.py.
    const VECTOR: [u8; HEADER_BYTES] = [
        0x54, 0x43, 0x54, 0x01, 0x01, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
        15, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00, 0x00, 0x00, 0x40, 0, 0, 0, 0,
    ];

    #[test]
    fn header_is_the_published_vector_and_decodes_back() {
        let session = core::array::from_fn(|i| i as u8);
        let header = Header {
            kind: Kind::Data,
            session,
            step: 0x0102_0304_0506_0708,
            length: 1 << 30,
        };
        assert_eq!(header.encode(), VECTOR);
        assert_eq!(Header::decode(&VECTOR).unwrap(), header);
    }

    #[test]
    fn every_changed_byte_of_the_fixed_part_is_refused() {
        for at in [0, 1, 2, 3, 4, 5, 6, 7] {
            let mut bytes = VECTOR;
            bytes[at] ^= 0x80;
            assert_eq!(
                Header::decode(&bytes).unwrap_err().cause,
                Cause::Malformed,
                "byte {at}"
            );
        }
        assert!(Header::decode(&VECTOR[1..]).is_err());
    }
}
