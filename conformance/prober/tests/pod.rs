//! A pod on loopback, which asks itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sluice_prober::Reply;
use sluice_prober::pod::Pod;
use sluice_prober::protocol::{Answer, Asker, NoAnswer, Probed, Question, Request, Transport};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A port that nobody has, in this process once: below those that clients get, of pods and of the kernel.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let is_free = |port: &u16| {
        TcpListener::bind((HOME, *port)).is_ok() && UdpSocket::bind((HOME, *port)).is_ok()
    };
    let mut ports = (0..10_000).map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
    ports.find(is_free).expect("a port")
}

async fn listening(name: &str, transport: Transport) -> (Arc<Pod>, SocketAddr) {
    let pod = Arc::new(Pod::new(name, vec![HOME]));
    let port = free_port();
    let ports = BTreeSet::from([(transport, port)]);
    match pod.answer(Request::Listen(ports.clone())).await {
        Answer::Listening(listening) => assert_eq!(listening.ports, ports),
        other => panic!("{other:?}"),
    }
    (pod, SocketAddr::new(HOME, port))
}

async fn probe(pod: &Pod, to: SocketAddr, transport: Transport) -> Probed {
    let question = Question { to, transport };
    match pod.answer(Request::Probe(vec![question])).await {
        Answer::Probed(mut probed) => probed.pop().expect("an answer"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_tells_its_name_and_counts_who_asked() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let (pod, to) = listening("ns/a", transport).await;
        let probed = probe(&pod, to, transport).await;
        assert_eq!(probed.reply, Reply::Name("ns/a".to_owned()));
        let Answer::Received(came) = pod.answer(Request::Received).await else {
            panic!("no count");
        };
        let [one] = came[..] else { panic!("{came:?}") };
        assert_eq!(
            (Some(one.from), one.port, one.count),
            (probed.from, to.port(), 1)
        );
        let again = pod.answer(Request::Received).await;
        assert_eq!(again, Answer::Received(Vec::new()), "it is said once");
    }
}

#[tokio::test]
async fn nobody_there_is_a_refusal_and_no_silence() {
    let (pod, _) = listening("ns/a", Transport::Tcp).await;
    let to = SocketAddr::new(HOME, free_port());
    assert_eq!(probe(&pod, to, Transport::Tcp).await.reply, Reply::Refused);
    assert_eq!(probe(&pod, to, Transport::Udp).await.reply, Reply::Refused);
    let other: SocketAddr = "[::1]:80".parse().unwrap();
    let probed = probe(&pod, other, Transport::Tcp).await;
    assert!(matches!(probed.reply, Reply::Error(_)), "{probed:?}");
}

#[tokio::test]
async fn a_connection_that_is_kept_goes_on() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let (pod, to) = listening("ns/a", transport).await;
        let question = Question { to, transport };
        let opened = pod.answer(Request::Open("c".to_owned(), question)).await;
        assert_eq!(opened, Answer::Opened(Reply::Name("ns/a".to_owned())));
        let goes_on = |name: &str| pod.answer(Request::GoOn(name.to_owned()));
        assert_eq!(goes_on("c").await, Answer::GoesOn(true));
        assert_eq!(
            goes_on("other").await,
            Answer::Failed("no connection other".to_owned())
        );
    }
}

#[tokio::test]
async fn a_request_that_is_made_again_is_not_done_again() {
    let (pod, to) = listening("ns/a", Transport::Tcp).await;
    let mut asker = Asker::new();
    let question = Question {
        to,
        transport: Transport::Tcp,
    };
    let request = asker.say(Request::Probe(vec![question]));
    let first = pod.hear(request.clone()).await;
    assert_eq!(pod.hear(request).await, first, "from the same port");
    let request = asker.say(Request::Received);
    let lost = pod.hear(request.clone()).await;
    let Ok(Answer::Received(came)) = asker.hear(pod.hear(request).await) else {
        panic!("no count");
    };
    let [one] = came[..] else { panic!("{came:?}") };
    assert_eq!(one.count, 1, "{lost:?}");
    let again = asker.say(Request::Received);
    let nothing = asker.hear(pod.hear(again).await);
    assert_eq!(nothing, Ok(Answer::Received(Vec::new())));
    assert!(matches!(
        asker.hear(lost),
        Err(NoAnswer::OtherRequest(Some(_)))
    ));
}

#[tokio::test]
async fn a_pod_that_was_started_again_is_not_taken_for_the_one_before() {
    let mut asker = Asker::new();
    let before = Pod::new("ns/a", vec![HOME]);
    let said = before.hear(asker.say(Request::Received)).await;
    assert_eq!(asker.hear(said), Ok(Answer::Received(Vec::new())));
    let after = Pod::new("ns/a", vec![HOME]);
    let said = after.hear(asker.say(Request::Received)).await;
    assert_eq!(asker.hear(said), Err(NoAnswer::StartedAgain));
}

/// The source ports of 1000 questions, more than the share of one pod has.
async fn source_ports(pod: &Pod) -> BTreeSet<u16> {
    let question = Question {
        to: SocketAddr::new(HOME, free_port()),
        transport: Transport::Udp,
    };
    match pod.answer(Request::Probe(vec![question; 1000])).await {
        Answer::Probed(all) => {
            let port = |it: &Probed| it.from.expect("a source").port();
            all.iter().map(port).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pods_in_one_network_have_no_source_port_in_common() {
    let pod = |name| Pod::new(name, vec![HOME]).with_own_ports().unwrap();
    let (one, other) = (pod("ns/a"), pod("ns/b"));
    let (one, other) = (source_ports(&one).await, source_ports(&other).await);
    assert!(one.len() < 1000 && other.len() < 1000, "a share each");
    assert!(one.is_disjoint(&other), "{one:?} {other:?}");
}

#[tokio::test]
async fn pods_do_not_all_begin_at_the_same_port() {
    let to = SocketAddr::new(HOME, free_port());
    let mut first = BTreeSet::new();
    for _ in 0..4 {
        let pod = Pod::new("ns/a", vec![HOME]);
        first.insert(probe(&pod, to, Transport::Udp).await.from);
    }
    assert!(first.len() > 1, "{first:?}");
}

/// Two words on a connection to a server that says its name, and returns nothing but the first word, once the second
/// one has come.
#[tokio::test]
async fn a_late_answer_to_an_earlier_word_is_no_answer() {
    let pod = Pod::new("ns/a", vec![HOME]);
    let server = tokio::net::UdpSocket::bind((HOME, 0)).await.unwrap();
    let question = Question {
        to: server.local_addr().unwrap(),
        transport: Transport::Udp,
    };
    let serve = async {
        let (mut first, mut other) = ([0; 64], [0; 64]);
        let (_, from) = server.recv_from(&mut first).await.unwrap();
        server.send_to(b"ns/b", from).await.unwrap();
        let (length, _) = server.recv_from(&mut first).await.unwrap();
        let (second, _) = server.recv_from(&mut other).await.unwrap();
        server.send_to(&first[..length], from).await.unwrap();
        assert_ne!(first[..length], other[..second]);
    };
    let ask = async {
        let opened = pod.answer(Request::Open("c".to_owned(), question)).await;
        assert_eq!(opened, Answer::Opened(Reply::Name("ns/b".to_owned())));
        for _ in 0..2 {
            let goes_on = pod.answer(Request::GoOn("c".to_owned())).await;
            assert_eq!(goes_on, Answer::GoesOn(false));
        }
    };
    tokio::join!(serve, ask);
}
