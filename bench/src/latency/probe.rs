//! Attempts to reach a target: a connection and a page of HTTP, as curl would ask for it, again and again until one
//! succeeds. Any answer of HTTP is a success, whatever its status.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::targets::Moment;

/// What a connection may take, and then an answer: curl's `--connect-timeout 1`.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many attempts at one target are under way at most; the oldest gives way to another.
const AT_ONCE: usize = 16;
/// How an answer begins.
const ANSWER: &[u8; 5] = b"HTTP/";

/// An attempt that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// When the handshake was done.
    pub connected: Instant,
    /// When the answer began.
    pub answered: Moment,
}

/// The request as perf-tests' log shows it. An IPv6 address has its brackets.
pub fn shown(to: SocketAddr) -> String {
    format!("curl --connect-timeout {} {to}", PATIENCE.as_secs())
}

/// Attempts once every `pause` until one succeeds.
pub async fn until_success(to: SocketAddr, pause: Duration) -> Success {
    let most = at_once(pause);
    let mut attempts = JoinSet::new();
    let mut begun: VecDeque<AbortHandle> = VecDeque::new();
    let mut due = interval(pause);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => {
                if let Ok(Ok(success)) = ended {
                    return success;
                }
                begun.retain(|attempt| !attempt.is_finished());
            }
            _ = due.tick() => {
                if begun.len() == most && let Some(oldest) = begun.pop_front() {
                    oldest.abort();
                }
                begun.push_back(attempts.spawn(attempt(to)));
            }
        }
    }
}

/// As many as there is time for before the first one is out of patience.
fn at_once(pause: Duration) -> usize {
    let fit = PATIENCE.as_micros().div_ceil(pause.as_micros().max(1));
    usize::try_from(fit).map_or(AT_ONCE, |fit| fit.clamp(1, AT_ONCE))
}

async fn attempt(to: SocketAddr) -> io::Result<Success> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
    let connected = Instant::now();
    let request =
        format!("GET / HTTP/1.1\r\nHost: {to}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    let ask = async {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; ANSWER.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, ask).await??;
    if answer != *ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Success {
        connected,
        answered: Moment::now(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    /// Serves connections one after another: each gets the next of `answers`, the last one for ever.
    async fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut served = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answers[served.min(answers.len() - 1)];
                served += 1;
                let mut request = [0; 16];
                let _read = stream.read_exact(&mut request).await;
                let _written = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn any_answer_of_http_is_a_success_and_others_are_not() {
        let started = Instant::now();
        for answers in [
            &["HTTP/1.1 200 OK\r\n\r\n"][..],
            &["HTTP/1.0 404 Not Found\r\n\r\n"],
            &["", "SSH-2.0-x\r\n", "HTTP/1.1 503 x\r\n\r\n"],
        ] {
            let to = server(answers).await;
            let success = until_success(to, SOON).await;
            assert!(success.connected >= started);
            assert!(success.answered.steady >= success.connected);
        }
    }

    #[tokio::test]
    async fn a_target_that_listens_later_is_reached_then() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        let reached = tokio::spawn(until_success(to, SOON));
        let refused = TcpStream::connect(to).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(!reached.is_finished());
        let listener = TcpListener::bind(to).await.unwrap();
        let listening = Instant::now();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(reached.await.unwrap().connected >= listening);
    }

    #[test]
    fn attempts_overlap_unless_they_are_a_second_apart() {
        for (milliseconds, expected) in [(1, 16), (10, 16), (100, 10), (1_000, 1), (5_000, 1)] {
            assert_eq!(at_once(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn the_request_is_shown_as_curls() {
        for (to, expected) in [
            ("10.40.0.110:80", "curl --connect-timeout 1 10.40.0.110:80"),
            ("[fd00::1]:80", "curl --connect-timeout 1 [fd00::1]:80"),
        ] {
            assert_eq!(shown(to.parse().unwrap()), expected);
        }
    }
}
