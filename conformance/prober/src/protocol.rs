//! What a pod is asked, and what it answers: a JSON document a line, each answer in the order of the requests.
//!
//! Requests are numbered, so that one whose answer got lost can be made again in another conversation: it is not done
//! twice, and gets the answer that it got. Answers tell the process that they are from: one that was started again listens
//! on nothing, has no connections and has counted nothing, so it is not who was asked before.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sluice_policy::Protocol;

use crate::{Reply, Sctp, random};

/// The variable that has the pod's name, `NAMESPACE/NAME`, which it tells whoever asks.
pub const NAME: &str = "PROBER_NAME";
/// The variable that has the pod's addresses, with commas between them.
pub const ADDRESSES: &str = "PROBER_ADDRESSES";
/// The variable that says, `true` or `false`, whether the pod is in the network of its node.
pub const HOST_NETWORK: &str = "PROBER_HOST_NETWORK";
/// The program, as images have it.
pub const PROGRAM: &str = "/sluice-prober";

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// One of the three that are spoken here.
    pub fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::Tcp => Some(Self::Tcp),
            Protocol::Udp => Some(Self::Udp),
            Protocol::Sctp => Some(Self::Sctp),
            Protocol::Other(_) => None,
        }
    }
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
            Transport::Sctp => Self::Sctp,
        }
    }
}

/// Something that a pod is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Listen on these ports too, and say who you are.
    Listen(BTreeSet<(Transport, u16)>),
    /// Ask all of these at once.
    Probe(Vec<Question>),
    /// Say what came since the last time that this was asked.
    Received,
    /// Open a connection and keep it under this name.
    Open(String, Question),
    /// Say something more on a connection that is kept.
    GoOn(String),
}

/// A request as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Another one than the request before has; the same if that is made again.
    pub number: u64,
    /// What is to be done.
    pub request: Request,
}

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The process that answers: a number that no other has.
    pub process: u64,
    /// That of the request; none where that could not be read.
    pub number: Option<u64>,
    /// What came of it.
    pub answer: Answer,
}

/// Why what was said is not an answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Another process says it than has answered so far.
    StartedAgain,
    /// It is about another request.
    OtherRequest(Option<u64>),
    /// It cannot be done: why.
    Failed(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartedAgain => f.write_str("its program was started again"),
            Self::OtherRequest(Some(number)) => write!(f, "it answers request {number}"),
            Self::OtherRequest(None) => f.write_str("it answers no request"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// Who asks one pod, in one conversation after another.
#[derive(Debug)]
pub struct Asker {
    number: u64,
    process: Option<u64>,
}

impl Asker {
    /// One that has not asked yet, and does not take over the answers of others.
    pub fn new() -> Self {
        Self {
            number: random(),
            process: None,
        }
    }

    /// The next request. It may be sent again, as it is, until something has been heard.
    pub fn say(&mut self, request: Request) -> Numbered {
        self.number = self.number.wrapping_add(1);
        Numbered {
            number: self.number,
            request,
        }
    }

    /// What was answered to the last request.
    pub fn hear(&mut self, said: Said) -> Result<Answer, NoAnswer> {
        if *self.process.get_or_insert(said.process) != said.process {
            return Err(NoAnswer::StartedAgain);
        }
        match said.answer {
            Answer::Failed(why) => Err(NoAnswer::Failed(why)),
            answer if said.number == Some(self.number) => Ok(answer),
            _ => Err(NoAnswer::OtherRequest(said.number)),
        }
    }
}

impl Default for Asker {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection that a pod tries to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// To whom.
    pub to: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// What a pod answers, by request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Listen`].
    Listening(Listening),
    /// To [`Request::Probe`]: one for each question, in order.
    Probed(Vec<Probed>),
    /// To [`Request::Received`].
    Received(Vec<Received>),
    /// To [`Request::Open`]: the name that the server gave.
    Opened(Reply),
    /// To [`Request::GoOn`]: whether an answer came.
    GoesOn(bool),
    /// It cannot be done: why.
    Failed(String),
}

/// Who a pod is, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Its name, as it tells it.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// How it speaks SCTP; why not, where it cannot.
    pub sctp: Result<Sctp, String>,
    /// The ports that it listens on, at all of its addresses.
    pub ports: BTreeSet<(Transport, u16)>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// What came back.
    pub reply: Reply,
    /// The address that it was sent from, by which whoever received it knows it.
    pub from: Option<SocketAddr>,
}

/// Requests that came to a pod: accepted connections, datagrams, handshakes of SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// By what.
    pub transport: Transport,
    /// From whom, as seen there.
    pub from: SocketAddr,
    /// To which port.
    pub port: u16,
    /// How many.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_one_line_and_understood() {
        let to: SocketAddr = "[fd00::1]:80".parse().unwrap();
        let question = Question {
            to,
            transport: Transport::Sctp,
        };
        for request in [
            Request::Listen(BTreeSet::from([(Transport::Tcp, 80)])),
            Request::Probe(vec![question]),
            Request::Received,
            Request::Open("c\nd".to_owned(), question),
            Request::GoOn("c".to_owned()),
        ] {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        let listening = Answer::Listening(Listening {
            name: "x/a".to_owned(),
            addresses: vec![to.ip()],
            sctp: Err("no".to_owned()),
            ports: BTreeSet::new(),
        });
        let line = serde_json::to_string(&listening).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), listening);
    }
}
