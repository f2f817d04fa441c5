// SPDX-License-Identifier: Apache-2.0
//! TLS over one socket, in whole plaintext pieces: the caller's thread reads, decrypts, encrypts and writes.
//!
//! rustls' unbuffered interface is used because it encrypts straight from the caller's buffers and lets this file
//! read hundreds of kilobytes per system call.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData};
use rustls::{ClientConfig, CommonState, ServerConfig};

use crate::SLICE;
use crate::fault::{Cause, Fault};
use crate::frame::{HEADER_BYTES, Header};
use crate::tls::{Pin, pin_of};

/// Called while waiting, with the time since the peer was last heard; an error ends the wait.
pub(crate) type Poll<'a> = &'a mut dyn FnMut(Duration) -> Result<(), Fault>;

/// Plaintext handed to one `encrypt` call; 16 TLS records.
const PIECE: usize = 256 * 1024;
/// Shorter buffers are copied together, so that a small message is one record and one system call.
const STAGE: usize = 64 * 1024;
const READ_MIN: usize = 32 * 1024;
const READ_MAX: usize = 512 * 1024;
/// Upper bound of what one TLS record adds to its plaintext (header 5, type 1, tag 16), with room to spare.
const RECORD_OVERHEAD: usize = 64;
const RECORD_BYTES: usize = 16 * 1024;

enum Tls {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Tls {
    fn common(&self) -> &CommonState {
        match self {
            Tls::Client(c) => c,
            Tls::Server(c) => c,
        }
    }
}

/// What was negotiated, for reports and tests.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Protocol version, as `TLSv1_3`.
    pub version: String,
    /// Key-exchange group, as `X25519MLKEM768`.
    pub group: String,
    /// Cipher suite, as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// Bytes from the network that are not decrypted yet: `bytes[start..end]`.
struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Encrypted bytes that are not on the network yet: `bytes[start..end]`.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outgoing {
    /// Free space of at least `n` bytes after `end`.
    fn room(&mut self, n: usize) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        if self.bytes.len() < self.end + n {
            self.bytes.resize(self.end + n, 0);
        }
        &mut self.bytes[self.end..]
    }
}

/// What the state machine is run for.
enum Goal<'a> {
    /// Decrypt what has come.
    Read,
    /// Encrypt this piece.
    Encrypt(&'a [u8]),
    /// Encrypt the notice that ends the stream.
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The consumer has all it wants.
    Enough,
    /// The goal is reached: nothing more to decrypt, or all encrypted.
    Ready,
    /// The handshake needs bytes from the peer.
    Blocked,
    /// The peer ended its stream properly.
    PeerClosed,
}

/// Runs the state machine over what has been received; `sink` gets plaintext and says whether it wants more.
///
/// rustls keeps offsets into the received bytes between calls, so every call must see the same bytes less what it
/// said to discard, and after an error only `alert` may follow: otherwise it panics.
fn advance(
    tls: &mut Tls,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    goal: &Goal<'_>,
    sink: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Progress, rustls::Error> {
    let exhausted = || rustls::Error::General("the TLS connection can encrypt no more".into());
    macro_rules! run {
        ($conn:expr) => {
            loop {
                let received = &mut incoming.bytes[incoming.start..incoming.end];
                let status = $conn.process_tls_records(received);
                let mut discard = status.discard;
                let mut progress = None;
                match status.state? {
                    ConnectionState::ReadTraffic(mut traffic) => {
                        let mut more = true;
                        while let Some(record) = traffic.next_record() {
                            let record = record?;
                            discard += record.discard;
                            more = sink(record.payload);
                        }
                        if !more {
                            progress = Some(Progress::Enough);
                        }
                    }
                    ConnectionState::EncodeTlsData(mut data) => encode(&mut data, outgoing),
                    ConnectionState::TransmitTlsData(data) => data.done(),
                    ConnectionState::BlockedHandshake => progress = Some(Progress::Blocked),
                    ConnectionState::WriteTraffic(mut traffic) => {
                        match goal {
                            Goal::Read => {}
                            Goal::Encrypt(piece) => {
                                let records = piece.len() / RECORD_BYTES + 8;
                                let room = outgoing.room(piece.len() + records * RECORD_OVERHEAD);
                                outgoing.end +=
                                    traffic.encrypt(piece, room).map_err(|_| exhausted())?;
                            }
                            Goal::Close => {
                                let room = outgoing.room(8 * RECORD_OVERHEAD);
                                outgoing.end += traffic.queue_close_notify(room).unwrap_or(0);
                            }
                        }
                        progress = Some(Progress::Ready);
                    }
                    ConnectionState::PeerClosed if matches!(goal, Goal::Read) => {
                        progress = Some(Progress::PeerClosed);
                    }
                    ConnectionState::PeerClosed => {}
                    ConnectionState::Closed => progress = Some(Progress::PeerClosed),
                    _ => return Err(rustls::Error::General("unexpected TLS state".into())),
                }
                incoming.start += discard;
                if let Some(progress) = progress {
                    return Ok(progress);
                }
            }
        };
    }
    match tls {
        Tls::Client(conn) => run!(conn),
        Tls::Server(conn) => run!(conn),
    }
}

fn encode<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Outgoing) {
    let mut need = RECORD_BYTES;
    loop {
        match data.encode(outgoing.room(need)) {
            Ok(n) => {
                outgoing.end += n;
                return;
            }
            Err(EncodeError::InsufficientSize(e)) => need = e.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}

/// After an error: the alert that tells the peer why, if there is one.
fn alert(tls: &mut Tls, outgoing: &mut Outgoing) {
    macro_rules! run {
        ($conn:expr) => {
            // What is queued is handed out before any received byte is looked at.
            if $conn.wants_write()
                && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                    $conn.process_tls_records(&mut []).state
            {
                encode(&mut data, outgoing);
            }
        };
    }
    match tls {
        Tls::Client(conn) => run!(conn),
        Tls::Server(conn) => run!(conn),
    }
}

/// A TLS connection over one socket.
pub(crate) struct Channel {
    tls: Tls,
    socket: TcpStream,
    incoming: Incoming,
    outgoing: Outgoing,
    plain: Vec<u8>,
    plain_start: usize,
    stage: Vec<u8>,
    heard: Instant,
    drained: bool,
    mid_frame: bool,
    failed: bool,
    alerted: bool,
    closed: bool,
    wire_bytes_sent: u64,
}

impl Channel {
    /// Dials with TLS: handshake as the client before `deadline`.
    pub(crate) fn client(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        deadline: Instant,
        poll: Poll<'_>,
    ) -> Result<Self, Fault> {
        let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        let conn = UnbufferedClientConnection::new(config, name).map_err(|e| refused(&e))?;
        Self::start(socket, Tls::Client(Box::new(conn)), deadline, poll)
    }

    /// Answers with TLS: handshake as the server before `deadline`.
    pub(crate) fn server(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        deadline: Instant,
        poll: Poll<'_>,
    ) -> Result<Self, Fault> {
        let conn = UnbufferedServerConnection::new(config).map_err(|e| refused(&e))?;
        Self::start(socket, Tls::Server(Box::new(conn)), deadline, poll)
    }

    fn start(
        socket: TcpStream,
        tls: Tls,
        deadline: Instant,
        poll: Poll<'_>,
    ) -> Result<Self, Fault> {
        let setup = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(Some(SLICE)))
            .and_then(|()| socket.set_write_timeout(Some(SLICE)));
        setup.map_err(|e| {
            Fault::new(
                Cause::Unreachable,
                format!("the socket cannot be set up: {}", e.kind()),
            )
        })?;
        let mut channel = Channel {
            tls,
            socket,
            incoming: Incoming {
                bytes: vec![0; READ_MIN],
                start: 0,
                end: 0,
            },
            outgoing: Outgoing::default(),
            plain: Vec::new(),
            plain_start: 0,
            stage: Vec::new(),
            heard: Instant::now(),
            drained: false,
            mid_frame: false,
            failed: false,
            alerted: false,
            closed: false,
            wire_bytes_sent: 0,
        };
        channel.handshake(deadline, poll)?;
        Ok(channel)
    }

    fn handshake(&mut self, deadline: Instant, poll: Poll<'_>) -> Result<(), Fault> {
        let mut bounded = |idle: Duration| {
            if Instant::now() >= deadline {
                return Err(Fault::new(
                    Cause::Unreachable,
                    "the TLS handshake did not finish in time",
                ));
            }
            poll(idle)
        };
        loop {
            let plain = &mut self.plain;
            let mut keep = |bytes: &[u8]| {
                plain.extend_from_slice(bytes);
                true
            };
            let progress = advance(
                &mut self.tls,
                &mut self.incoming,
                &mut self.outgoing,
                &Goal::Read,
                &mut keep,
            );
            match progress {
                Ok(Progress::PeerClosed) => {
                    return Err(Fault::new(Cause::Closed, "closed during the TLS handshake"));
                }
                Ok(_) => {
                    self.flush(&mut bounded)?;
                    if !self.tls.common().is_handshaking() {
                        return Ok(());
                    }
                    // A peer that trickles bytes does not get more time than one that sends none.
                    bounded(Duration::ZERO)?;
                    if !self.receive(&mut bounded)? {
                        return Err(Fault::new(Cause::Closed, "closed during the TLS handshake"));
                    }
                }
                Err(error) => {
                    // Let the peer know why.
                    self.failed = true;
                    alert(&mut self.tls, &mut self.outgoing);
                    let _ = self.flush(&mut |_| Err(Fault::interrupted()));
                    let _ = self.socket.shutdown(Shutdown::Write);
                    return Err(refused(&error));
                }
            }
        }
    }

    /// The pin of the certificate that the peer showed, and proved to own.
    pub(crate) fn peer_pin(&self) -> Option<Pin> {
        self.tls
            .common()
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|cert| pin_of(cert))
    }

    /// Whether the peer ended the connection by an alert, rather than by closing it.
    pub(crate) fn alerted(&self) -> bool {
        self.alerted
    }

    /// What was negotiated.
    pub(crate) fn facts(&self) -> TlsFacts {
        let common = self.tls.common();
        let text = |fact: Option<String>| fact.unwrap_or_default();
        TlsFacts {
            version: text(common.protocol_version().map(|v| format!("{v:?}"))),
            group: text(
                common
                    .negotiated_key_exchange_group()
                    .map(|g| format!("{:?}", g.name())),
            ),
            cipher: text(
                common
                    .negotiated_cipher_suite()
                    .map(|s| format!("{:?}", s.suite())),
            ),
        }
    }

    /// A handle by which another thread can end this channel's waits.
    pub(crate) fn socket(&self) -> Result<TcpStream, Fault> {
        self.socket
            .try_clone()
            .map_err(|e| Fault::new(Cause::Closed, format!("the socket is gone: {}", e.kind())))
    }

    /// Counts silence from now on: the time before was ours.
    pub(crate) fn refresh(&mut self) {
        self.heard = Instant::now();
    }

    /// Bytes given to the network so far, TLS included.
    pub(crate) fn wire_bytes_sent(&self) -> u64 {
        self.wire_bytes_sent
    }

    /// How long nothing has been heard.
    pub(crate) fn idle(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Makes space for what the socket has.
    fn make_room(&mut self) -> Result<(), Fault> {
        let buffer = &mut self.incoming;
        if buffer.start == buffer.end {
            buffer.start = 0;
            buffer.end = 0;
        } else if buffer.end == buffer.bytes.len() {
            buffer.bytes.copy_within(buffer.start..buffer.end, 0);
            buffer.end -= buffer.start;
            buffer.start = 0;
        }
        if buffer.end == buffer.bytes.len() {
            // More than READ_MIN without a complete record is no TLS.
            return Err(Fault::new(
                Cause::Corrupted,
                "the stream holds no TLS record",
            ));
        }
        Ok(())
    }

    /// Takes note of `n` bytes read; false at the end of the stream.
    fn received(&mut self, n: usize) -> bool {
        let buffer = &mut self.incoming;
        buffer.end += n;
        self.drained = buffer.end < buffer.bytes.len();
        if !self.drained && buffer.end < READ_MAX {
            buffer.bytes.resize(2 * buffer.end, 0);
        }
        self.heard = Instant::now();
        n > 0
    }

    /// One read from the socket, waiting for it; false at the end of the stream.
    fn receive(&mut self, poll: Poll<'_>) -> Result<bool, Fault> {
        self.make_room()?;
        loop {
            match self
                .socket
                .read(&mut self.incoming.bytes[self.incoming.end..])
            {
                Ok(n) => return Ok(self.received(n)),
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => poll(self.heard.elapsed())?,
                    ErrorKind::Interrupted => {}
                    kind => return Err(broke(kind)),
                },
            }
        }
    }

    /// One read from the socket of what is there; None if nothing is, false at the end of the stream.
    fn receive_ready(&mut self) -> Result<Option<bool>, Fault> {
        if self.drained {
            return Ok(None);
        }
        self.make_room()?;
        loop {
            let space = &mut self.incoming.bytes[self.incoming.end..];
            match recv(&self.socket, space, RecvFlags::DONTWAIT) {
                Ok((_, n)) => return Ok(Some(self.received(n))),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(e) => return Err(broke(std::io::Error::from(e).kind())),
            }
        }
    }

    /// The socket may have more than the last read gave.
    pub(crate) fn readable(&mut self) {
        self.drained = false;
    }

    fn usable(&self) -> Result<(), Fault> {
        if self.failed || self.closed {
            Err(Fault::new(Cause::Closed, "the TLS connection has ended"))
        } else {
            Ok(())
        }
    }

    /// Runs the state machine for something else than reading; what came meanwhile is kept.
    fn run(&mut self, goal: &Goal<'_>) -> Result<(), Fault> {
        self.usable()?;
        let plain = &mut self.plain;
        let mut keep = |bytes: &[u8]| {
            plain.extend_from_slice(bytes);
            true
        };
        match advance(
            &mut self.tls,
            &mut self.incoming,
            &mut self.outgoing,
            goal,
            &mut keep,
        ) {
            Ok(Progress::Ready) => Ok(()),
            Ok(_) => Err(Fault::new(
                Cause::Closed,
                "the TLS connection accepts no data",
            )),
            Err(_) => {
                self.failed = true;
                Err(Fault::new(
                    Cause::Corrupted,
                    "a TLS record failed its authentication",
                ))
            }
        }
    }

    /// Appends plaintext to `out` until it holds `want` bytes.
    pub(crate) fn fill(
        &mut self,
        out: &mut Vec<u8>,
        want: usize,
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        while !self.decrypt(out, want)? {
            if !self.receive(poll)? {
                return Err(ended(out));
            }
        }
        Ok(())
    }

    /// As `fill` from what is there; whether it was enough. If not, call it again with the same `out`.
    pub(crate) fn fill_ready(&mut self, out: &mut Vec<u8>, want: usize) -> Result<bool, Fault> {
        while !self.decrypt(out, want)? {
            match self.receive_ready()? {
                Some(true) => {}
                Some(false) => return Err(ended(out)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Appends to `out` what has been received, up to `want` bytes; whether that was enough.
    fn decrypt(&mut self, out: &mut Vec<u8>, want: usize) -> Result<bool, Fault> {
        self.usable()?;
        let take = (self.plain.len() - self.plain_start).min(want - out.len());
        if take > 0 {
            out.extend_from_slice(&self.plain[self.plain_start..self.plain_start + take]);
            self.plain_start += take;
        }
        if self.plain_start == self.plain.len() {
            self.plain.clear();
            self.plain_start = 0;
        }
        if out.len() == want {
            return Ok(true);
        }
        let plain = &mut self.plain;
        let mut sink = |bytes: &[u8]| {
            let (now, later) = bytes.split_at(bytes.len().min(want - out.len()));
            out.extend_from_slice(now);
            plain.extend_from_slice(later);
            out.len() < want
        };
        let progress = advance(
            &mut self.tls,
            &mut self.incoming,
            &mut self.outgoing,
            &Goal::Read,
            &mut sink,
        );
        self.failed |= progress.is_err();
        match progress {
            Ok(Progress::PeerClosed) if out.len() < want => Err(ended(out)),
            Ok(_) => Ok(out.len() == want),
            Err(rustls::Error::AlertReceived(alert)) => {
                self.alerted = true;
                Err(Fault::new(
                    Cause::Closed,
                    format!("ended by the TLS alert {alert:?}"),
                ))
            }
            Err(_) => Err(Fault::new(
                Cause::Corrupted,
                "a TLS record failed its authentication",
            )),
        }
    }

    /// Reads and checks one header.
    pub(crate) fn header(&mut self, poll: Poll<'_>) -> Result<Header, Fault> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        self.fill(&mut bytes, HEADER_BYTES, poll)?;
        Header::decode(&bytes)
    }

    /// Reads a payload of `length` bytes.
    pub(crate) fn payload(&mut self, length: u64, poll: Poll<'_>) -> Result<Vec<u8>, Fault> {
        let want = usize::try_from(length)
            .map_err(|_| Fault::new(Cause::Flood, "a message larger than memory"))?;
        let mut out = Vec::new();
        out.try_reserve_exact(want)
            .map_err(|_| Fault::new(Cause::Flood, "a message larger than memory"))?;
        self.fill(&mut out, want, poll)?;
        Ok(out)
    }

    /// Writes a header and the concatenation of `buffers` as one frame.
    pub(crate) fn write(
        &mut self,
        header: &Header,
        buffers: &[&[u8]],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        if self.mid_frame {
            return Err(Fault::new(
                Cause::Closed,
                "an earlier message to it was interrupted",
            ));
        }
        self.flush(poll)?;
        self.mid_frame = true;
        let mut stage = std::mem::take(&mut self.stage);
        stage.clear();
        stage.extend_from_slice(&header.encode());
        for buffer in buffers {
            if stage.len() + buffer.len() <= STAGE {
                stage.extend_from_slice(buffer);
                continue;
            }
            self.send(&stage, poll)?;
            stage.clear();
            if buffer.len() < STAGE {
                stage.extend_from_slice(buffer);
            } else {
                for piece in buffer.chunks(PIECE) {
                    self.send(piece, poll)?;
                }
            }
        }
        if !stage.is_empty() {
            self.run(&Goal::Encrypt(&stage))?;
        }
        self.stage = stage;
        self.mid_frame = false;
        self.flush(poll)
    }

    /// Writes bytes that need be no frame.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8], poll: Poll<'_>) -> Result<(), Fault> {
        self.flush(poll)?;
        bytes
            .chunks(PIECE)
            .try_for_each(|piece| self.send(piece, poll))
    }

    fn send(&mut self, piece: &[u8], poll: Poll<'_>) -> Result<(), Fault> {
        self.run(&Goal::Encrypt(piece))?;

        self.flush(poll)
    }

    /// Whether encrypted bytes wait for the network.
    pub(crate) fn stalled(&self) -> bool {
        self.outgoing.start < self.outgoing.end
    }

    fn flush(&mut self, poll: Poll<'_>) -> Result<(), Fault> {
        while self.outgoing.start < self.outgoing.end {
            match self
                .socket
                .write(&self.outgoing.bytes[self.outgoing.start..self.outgoing.end])
            {
                Ok(n) => {
                    self.outgoing.start += n;
                    self.wire_bytes_sent += n as u64;
                }
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => poll(self.heard.elapsed())?,
                    ErrorKind::Interrupted => {}
                    kind => return Err(broke(kind)),
                },
            }
        }
        Ok(())
    }

    /// Says goodbye at the TLS level and ends the writing direction; waits for no peer. Idempotent.
    pub(crate) fn close(&mut self) {
        if self.closed {
            return;
        }
        let handshaking = self.tls.common().is_handshaking();
        let whole = !self.failed && !self.mid_frame && !self.stalled() && !handshaking;
        if whole && self.run(&Goal::Close).is_ok() {
            let _ = self.flush(&mut |_| Err(Fault::interrupted()));
        }
        self.closed = true;
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close();
    }
}

fn broke(kind: ErrorKind) -> Fault {
    Fault::new(Cause::Closed, format!("the connection broke: {kind}"))
}

/// The peer ended its stream when `out` was all that had come of what was awaited.
fn ended(out: &[u8]) -> Fault {
    let what = if out.is_empty() {
        "closed the connection"
    } else {
        "closed in the middle of a frame"
    };
    Fault::new(Cause::Closed, what)
}

fn refused(error: &rustls::Error) -> Fault {
    let what = match error {
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        ) => "it showed a certificate that is not pinned".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("it refused the TLS handshake ({alert:?})"),
        rustls::Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        other => format!("the TLS handshake failed ({other})"),
    };
    Fault::new(Cause::Refused, what)
        .expected("TLS 1.3 with X25519MLKEM768 and pinned certificates on both sides")
}
