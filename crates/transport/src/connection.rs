// SPDX-License-Identifier: Apache-2.0
//! Connections for requests and answers, and the dialling side of every connection.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::SLICE;
use crate::channel::{Channel, TlsFacts};
use crate::fault::{Cause, Fault};
use crate::frame::{Header, Kind, SessionId};
use crate::tls::{Identity, Pin};

/// A blocking connection to one authenticated peer: one thread at a time sends or receives frames.
pub struct Connection {
    channel: Channel,
    peer_pin: Pin,
    broken: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(crate) fn new(channel: Channel) -> Result<Self, Fault> {
        let peer_pin = channel
            .peer_pin()
            .ok_or_else(|| Fault::new(Cause::Refused, "it showed no certificate"))?;
        Ok(Connection {
            channel,
            peer_pin,
            broken: false,
        })
    }

    /// The pin of the certificate that the peer proved to own.
    pub fn peer_pin(&self) -> Pin {
        self.peer_pin
    }

    /// What TLS negotiated.
    pub fn facts(&self) -> TlsFacts {
        self.channel.facts()
    }

    /// Sends one frame and waits until the network has taken it.
    pub fn send(
        &mut self,
        header: &Header,
        payload: &[u8],
        poll: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.usable()?;
        self.channel
            .write(header, &[payload], &mut |_| poll())
            .inspect_err(|_| self.broken = true)
    }

    /// Sends bytes that need be no frame, to test what peers do with them.
    pub fn send_bytes(
        &mut self,
        bytes: &[u8],
        poll: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.usable()?;
        self.channel
            .write_bytes(bytes, &mut |_| poll())
            .inspect_err(|_| self.broken = true)
    }

    /// Receives one frame other than a heartbeat, within `timeout` and of at most `bytes_max` payload bytes.
    ///
    /// A wait that ends without a byte received leaves the connection usable; any other failure ends it.
    pub fn receive(
        &mut self,
        timeout: Duration,
        bytes_max: u64,
        poll: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<(Header, Vec<u8>), Fault> {
        self.usable()?;
        let deadline = deadline(timeout);
        let mut bounded = |_: Duration| {
            if Instant::now() >= deadline {
                return Err(Fault::new(
                    Cause::Timeout,
                    format!("no message within {} s", timeout.as_secs_f64()),
                ));
            }
            poll()
        };
        loop {
            let mut first = Vec::with_capacity(crate::HEADER_BYTES);
            let header = self
                .channel
                .fill(&mut first, crate::HEADER_BYTES, &mut bounded);
            if let Err(fault) = header {
                self.broken = !(first.is_empty()
                    && matches!(fault.cause, Cause::Timeout | Cause::Interrupted));
                return Err(fault);
            }
            let result = Header::decode(&first).and_then(|header| {
                if header.length > bytes_max {
                    return Err(Fault::new(
                        Cause::Flood,
                        format!("a message of {} bytes", header.length),
                    )
                    .expected(format!("at most {bytes_max} bytes")));
                }
                Ok((header, self.channel.payload(header.length, &mut bounded)?))
            });
            match result {
                Ok((header, _)) if header.kind == Kind::Heartbeat => {}
                Ok(frame) => return Ok(frame),
                Err(fault) => {
                    self.broken = true;
                    return Err(fault);
                }
            }
        }
    }

    /// Ends the connection; the peer reads what was sent before.
    pub fn close(&mut self) {
        self.broken = true;
        self.channel.close();
    }

    /// The channel below, to become one half of a mesh's link.
    pub(crate) fn into_channel(self) -> Channel {
        self.channel
    }

    fn usable(&self) -> Result<(), Fault> {
        if self.broken {
            Err(Fault::new(Cause::Closed, "the connection has ended"))
        } else {
            Ok(())
        }
    }
}

/// Now plus `timeout`, or a year from now if that cannot be represented.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout)
        .unwrap_or(now + Duration::from_secs(365 * 86_400))
}

/// The frame by which an acceptor confirms that it accepted the dialler's certificate: in TLS 1.3 the dialler's
/// handshake ends before the acceptor has judged it.
pub(crate) fn welcome() -> Header {
    Header {
        kind: Kind::Heartbeat,
        session: SessionId::default(),
        step: 0,
        length: 0,
    }
}

/// Dials `host:port` until `timeout`, as `identity`, and accepts only the peer with the certificate `peer_pin`.
///
/// A refused TCP connection, or one that ends before the peer has said anything about the certificates, is tried again:
/// parties start at different times, and a busy one drops diallers. A refused certificate is not.
pub fn connect(
    host: &str,
    port: u16,
    identity: &Identity,
    peer_pin: Pin,
    timeout: Duration,
    poll: &mut dyn FnMut() -> Result<(), Fault>,
) -> Result<Connection, Fault> {
    let deadline = deadline(timeout);
    let config = identity.client_config(peer_pin)?;
    let unreachable = |why: &str| {
        Fault::new(
            Cause::Unreachable,
            format!(
                "no connection to {host}:{port} within {} s: {why}",
                timeout.as_secs_f64()
            ),
        )
    };
    let mut why = String::from("no address");
    loop {
        match (host, port).to_socket_addrs() {
            Ok(addresses) => {
                for address in addresses {
                    let left = deadline
                        .saturating_duration_since(Instant::now())
                        .max(Duration::from_millis(1));
                    match TcpStream::connect_timeout(&address, left.min(Duration::from_secs(1))) {
                        Ok(socket) => match greet(socket, config.clone(), deadline, poll) {
                            Err(fault) if fault.cause == Cause::Closed => why = fault.what,
                            Err(fault) if fault.cause == Cause::Unreachable => {
                                return Err(unreachable(&fault.what));
                            }
                            result => return result,
                        },
                        Err(error) => why = error.kind().to_string(),
                    }
                    poll()?;
                }
            }
            Err(error) => why = format!("the name cannot be resolved ({})", error.kind()),
        }
        poll()?;
        if Instant::now() >= deadline {
            return Err(unreachable(&why));
        }
        std::thread::sleep(SLICE.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// The handshake on a dialled socket, and the peer's welcome. The fault `Closed` says nothing about certificates.
fn greet(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    deadline: Instant,
    poll: &mut dyn FnMut() -> Result<(), Fault>,
) -> Result<Connection, Fault> {
    let mut channel = Channel::client(socket, config, deadline, &mut |_| poll())?;
    let mut bounded = |_: Duration| {
        if Instant::now() >= deadline {
            Err(Fault::new(Cause::Unreachable, "no answer"))
        } else {
            poll()
        }
    };
    match channel.header(&mut bounded) {
        Ok(header) if header == welcome() => Connection::new(channel),
        Ok(_) => Err(Fault::new(
            Cause::Malformed,
            "its first frame is no welcome",
        )),
        // In TLS 1.3 the acceptor judges our certificate after our handshake has ended.
        Err(fault) if channel.alerted() => Err(Fault::new(
            Cause::Refused,
            format!("it refused this party's certificate: {}", fault.what),
        )
        .expected("a certificate that its room pins")),
        Err(fault) => Err(fault),
    }
}
