//! Outputs that the tools themselves printed: iperf3 3.12, netperf 2.7.0, qperf 0.4.11, fortio 1.66.5.

use super::*;

fn check(benchmark: Benchmark, output: &str, expected: &[f64]) {
    let figures = benchmark.read(output).expect("figures");
    let metrics: Vec<_> = figures.iter().map(|it| it.metric).collect();
    assert_eq!(metrics, benchmark.metrics(), "{benchmark:?}");
    for (figure, expected) in figures.iter().zip(expected) {
        let wrong = (figure.value - expected).abs() > expected.abs() * 1e-6;
        assert!(!wrong, "{figure:?}, and not {expected}");
    }
    assert_eq!(figures.len(), expected.len());
}

#[test]
fn figures_of_real_outputs_are_read() {
    check(
        Benchmark::Iperf3Tcp,
        include_str!("outputs/iperf3.json"),
        &[5_669_088_576.071_25, 8.0, 9.135_761_8, 17.814_488_99],
    );
    check(
        Benchmark::NetperfTcpRr,
        include_str!("outputs/netperf-tcp-rr.txt"),
        &[22_591.77, 44.21e-6, 319.14e-6, 13e-6, 15e-6, 1_060e-6],
    );
    check(
        Benchmark::NetperfTcpStream,
        include_str!("outputs/netperf-tcp-stream.txt"),
        &[5_823.31e6, 17.0],
    );
    check(
        Benchmark::QperfTcp,
        include_str!("outputs/qperf.txt"),
        &[8.08e9, 17.2e-6],
    );
    check(
        Benchmark::FortioTcp,
        include_str!("outputs/fortio-tcp.json"),
        &[
            48_119.590_978_878,
            0.0,
            8.281_008_99e-5,
            1.227_770_65e-4,
            6.846_694_25e-5,
            1.143_683_77e-4,
            4.863_666_67e-4,
        ],
    );
    check(
        Benchmark::FortioHttp,
        include_str!("outputs/fortio-http.json"),
        &[
            35_570.476_175_207,
            0.0,
            1.121_705_87e-4,
            2.077_500_03e-4,
            8.513_032_09e-5,
            1.493_724_21e-4,
            7.196_375_84e-4,
        ],
    );
}

#[test]
fn tools_that_failed_are_not_read_as_if_they_had_measured() {
    let told = |tool, what: &str| Unreadable::Told(tool, what.to_owned());
    for (benchmark, output, expected) in [
        (
            Benchmark::Iperf3Tcp,
            include_str!("outputs/iperf3-refused.json"),
            told("iperf3", "unable to connect to server: Connection refused"),
        ),
        (
            Benchmark::NetperfTcpRr,
            include_str!("outputs/netperf-refused.txt"),
            Unreadable::Lacks("THROUGHPUT_UNITS", "netperf"),
        ),
        (
            Benchmark::FortioTcp,
            include_str!("outputs/fortio-tcp-refused.json"),
            told(
                "fortio",
                "dial tcp 127.0.0.1:8078: connect: connection refused",
            ),
        ),
        (
            Benchmark::FortioHttp,
            "",
            Unreadable::Lacks("JSON document", "fortio"),
        ),
        (
            Benchmark::QperfTcp,
            "127.0.0.1: failed to connect: Connection refused",
            Unreadable::Lacks("tcp_bw", "qperf"),
        ),
        (
            Benchmark::NetperfTcpStream,
            "THROUGHPUT=1\nTHROUGHPUT_UNITS=Trans/s\n",
            Unreadable::Lacks("10^6bits/s", "netperf"),
        ),
    ] {
        assert_eq!(benchmark.read(output), Err(expected));
    }
}

#[test]
fn an_output_that_is_cut_anywhere_is_read_whole_or_refused() {
    for (benchmark, output) in [
        (Benchmark::Iperf3Tcp, include_str!("outputs/iperf3.json")),
        (
            Benchmark::FortioHttp,
            include_str!("outputs/fortio-http.json"),
        ),
        (
            Benchmark::NetperfTcpRr,
            include_str!("outputs/netperf-tcp-rr.txt"),
        ),
    ] {
        let whole = benchmark.read(output).unwrap();
        for end in (0..output.len()).filter(|end| output.is_char_boundary(*end)) {
            if let Ok(figures) = benchmark.read(&output[..end]) {
                assert_eq!(figures, whole, "{benchmark:?} cut at {end}");
            }
        }
    }
}

#[test]
fn qperf_chooses_its_units() {
    for (bandwidth, latency, expected) in [
        ("950 MB/sec", "1.5 ms", [7.6e9, 1.5e-3]),
        ("12 KB/sec", "900 ns", [96e3, 0.9e-6]),
        ("1,024 bytes/sec", "2 sec", [8_192.0, 2.0]),
    ] {
        let output =
            format!("tcp_bw:\n    bw  =  {bandwidth}\ntcp_lat:\n    latency  =  {latency}\n");
        check(Benchmark::QperfTcp, &output, &expected);
    }
}
