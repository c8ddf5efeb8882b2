//! The agent's connections over TLS: the nodes' own sessions on a plain socket.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::wire::{Line, News};
use crate::io::tls::{Progress, Scratch, Session, Tls, reason};
use crate::limits;

impl Line {
    /// Relays once the far side has proven the name; the error is a sentence
    /// without a full stop.
    pub(super) async fn relay_sealed(
        &self,
        mut socket: TcpStream,
        name: &str,
        tls: &Tls,
        mut waiting: Receiver<Vec<u8>>,
    ) -> Result<(), String> {
        let mut session = tls.connect(name).map_err(|why| reason(&why))?;
        let mut scratch = Scratch::default();
        let mut buffer = vec![0; 16 * 1024];
        session.begin(&mut scratch).map_err(|why| reason(&why))?;
        let late = Instant::now() + limits::CONNECT_MAX;
        let handshake = shake(&mut socket, &mut session, &mut scratch, &mut buffer);
        let shaken = timeout_at(late, handshake).await;
        shaken.map_err(|_late| "the handshake takes too long".to_owned())??;
        let identities = tls.identities(&session).map_err(|why| reason(&why))?;
        let up = News::Connected(self.stream, identities);
        if self.tell.send(up).await.is_err() || !self.says_plain(&mut scratch).await {
            return Ok(());
        }
        loop {
            let goes_on = tokio::select! {
                bytes = waiting.recv() => match bytes {
                    Some(bytes) => {
                        let sealed = session.seal([&bytes[..]], &mut scratch);
                        sealed.map_err(|why| reason(&why))?;
                        true
                    }
                    None => {
                        session.send_close_notify(&mut scratch);
                        false
                    }
                },
                len = socket.read(&mut buffer) => match len {
                    Ok(len) if len > 0 => {
                        let progress = session.receive(&mut buffer[..len], &mut scratch);
                        progress.map_err(|why| reason(&why))? != Progress::Ended
                    }
                    Ok(_) | Err(_) => false,
                },
            };
            let is_heard = self.says_plain(&mut scratch).await;
            if !flush(&mut socket, &mut scratch).await || !goes_on || !is_heard {
                return Ok(());
            }
        }
    }

    /// Hands on what was decrypted; false when the agent is gone.
    async fn says_plain(&self, scratch: &mut Scratch) -> bool {
        scratch.plain.is_empty() || self.says(std::mem::take(&mut scratch.plain)).await
    }
}

/// The handshake.
async fn shake(
    socket: &mut TcpStream,
    session: &mut Session,
    scratch: &mut Scratch,
    buffer: &mut [u8],
) -> Result<(), String> {
    loop {
        if !flush(socket, scratch).await {
            return Err("it hung up".to_owned());
        }
        if session.is_established() {
            return Ok(());
        }
        let len = socket.read(buffer).await.unwrap_or(0);
        if len == 0 {
            return Err("it hung up in the handshake".to_owned());
        }
        let progress = session.receive(&mut buffer[..len], scratch);
        if let Err(why) = progress {
            // The alert goes out with what else is sealed.
            flush(socket, scratch).await;
            return Err(reason(&why));
        }
    }
}

/// Writes what is sealed; false when the connection is gone.
async fn flush(socket: &mut TcpStream, scratch: &mut Scratch) -> bool {
    let sealed = std::mem::take(&mut scratch.sealed);
    sealed.is_empty() || socket.write_all(&sealed).await.is_ok()
}
