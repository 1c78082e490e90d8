use super::*;
use crate::date::Date;
use proptest::prelude::*;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// 2020-04-06 07:05:29 UTC, when it is 16:05:29 in Tokyo.
const AFTERNOON: i64 = 1_586_156_729;

fn tokyo(_: i64) -> Option<i64> {
    Some(9 * 3600)
}

const TOKYO: Times = Times {
    local: &tokyo,
    boot: None,
};

fn day(text: &str) -> When {
    When::Day(text.parse().unwrap())
}

fn read(line: &str) -> Line {
    parse(line.as_bytes(), &TOKYO)
}

#[track_caller]
fn attempt(line: &str) -> Attempt {
    match read(line) {
        Line::Attempt(attempt) => attempt,
        other => panic!("{other:?}: {line}"),
    }
}

const SYN: &str = "IN=eth1 OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=4711 DF PROTO=TCP SPT=41234 DPT=23 WINDOW=29200 RES=0x00 SYN URGP=0 ";

/// What stands before the packet, and the day (empty: without a year) and the hour.
const HEADS: &[(&str, &str, u8)] = &[
    // The seed's.
    ("2020-04-06T16:05:29 router kernel: DROP ", "2020-04-06", 16),
    // rsyslog and syslog-ng with fractions and zones.
    (
        "2020-04-06T16:05:29.123456+09:00 router kernel: [12345.678901] DROP wan in: ",
        "2020-04-06",
        16,
    ),
    (
        "2020-04-06T16:05:29.123456+0900 router kernel: DROP wan in: ",
        "2020-04-06",
        16,
    ),
    ("2020-04-06T16:05:29Z router kernel: DROP wan in: ", "2020-04-07", 1),
    ("2020-04-06t16:05:29z router kernel: DROP wan in: ", "2020-04-07", 1),
    (
        "2020-04-06T16:05:29-11:30 router kernel: DROP wan in: ",
        "2020-04-07",
        12,
    ),
    ("2020-04-06T00:30:00+14 router kernel: DROP wan in: ", "2020-04-05", 19),
    ("2020-04-06 16:05:29,123 router kernel: DROP ", "2020-04-06", 16),
    ("2020-04-06 16:05:29 +0000 router kernel: DROP ", "2020-04-07", 1),
    ("2020/04/06 16:05:29 router kernel: DROP ", "2020-04-06", 16),
    ("2020-12-31T15:00:00Z router kernel: DROP ", "2021-01-01", 0),
    ("2016-12-31T23:59:60Z router kernel: DROP ", "2017-01-01", 9),
    // RFC 5424, RFC 3164 as sent over the wire.
    ("<4>1 2020-04-06T16:05:29Z router kernel - - - DROP ", "2020-04-07", 1),
    (
        "<4>1 2020-04-06T16:05:29+09:00 router kernel - - [meta x=\"1\"] DROP ",
        "2020-04-06",
        16,
    ),
    ("<4>Apr  6 16:05:29 router kernel: DROP ", "", 16),
    ("<4>Apr  6 16:05:29 kernel: DROP ", "", 16),
    // syslogd, busybox, journalctl.
    ("Apr  6 16:05:29 router kernel: DROP wan in: ", "", 16),
    ("Apr  6 16:05:29 router kernel: [12345.678901] DROP wan in: ", "", 16),
    ("Apr  6 16:05:29 router kernel: [   12.678901] [UFW BLOCK] ", "", 16),
    ("Apr  6 16:05:29 router user.warn kernel: DROP ", "", 16),
    ("Apr  6 16:05:29.123 router kernel: DROP ", "", 16),
    ("Apr 06 16:05:29 router kernel: DROP ", "", 16),
    ("APR 6 16:05:29 router kernel: DROP ", "", 16),
    ("Apr  6 2020 16:05:29 router kernel: DROP ", "2020-04-06", 16),
    ("4月 06 16:05:29 router kernel: DROP ", "", 16),
    ("Mon 2020-04-06 16:05:29 JST router kernel: DROP ", "2020-04-06", 16),
    ("Mon 2020-04-06 16:05:29 UTC router kernel: DROP ", "2020-04-07", 1),
    ("1586156729.123456 router kernel: DROP ", "2020-04-06", 16),
    // OpenWrt's logread, plain and with -t; dmesg -T; date.
    (
        "Mon Apr  6 16:05:29 2020 kern.warn kernel: [12345.678901] DROP wan in: ",
        "2020-04-06",
        16,
    ),
    (
        "Mon Apr  6 16:05:29 2020 [1586156729.123] kern.warn kernel: [12345.678901] reject wan in: ",
        "2020-04-06",
        16,
    ),
    (
        "Mon Apr  6 16:05:29 2020 kern.warn kernel: [12345.678901] REJECT(src wan)",
        "2020-04-06",
        16,
    ),
    (
        "Mon Apr  6 16:05:29 2020 kern.info kernel: [12345.678901] drop wan invalid ct state: ",
        "2020-04-06",
        16,
    ),
    ("[Mon Apr  6 16:05:29 2020] DROP ", "2020-04-06", 16),
    ("Mon Apr  6 16:05:29 JST 2020 DROP ", "2020-04-06", 16),
    // Prefixes that somebody made.
    ("2020-04-06T16:05:29 router kernel: DROP", "2020-04-06", 16),
    ("2020-04-06T16:05:29 router kernel: ", "2020-04-06", 16),
    ("2020-04-06T16:05:29 router kernel: FW-LOGIN=", "2020-04-06", 16),
    ("2020-04-06T16:05:29 router kernel: IN=", "2020-04-06", 16),
    (
        "2020-04-06T16:05:29 router kernel: Shorewall:net2fw:DROP:",
        "2020-04-06",
        16,
    ),
    ("2020-04-06T16:05:29 router kernel: not accepted: ", "2020-04-06", 16),
    ("2020-04-06T16:05:29 router kernel: a=b [x", "2020-04-06", 16),
    ("2020-04-06T16:05:29 pass-gate DROP ", "2020-04-06", 16),
    ("2020-04-06T16:05:29 DROP ", "2020-04-06", 16),
    // ulogd: to its own file, and to syslog.
    ("Apr  6 16:05:29 router DROP: ", "", 16),
    (
        "Mon Apr  6 16:05:29 2020 daemon.notice ulogd[812]: DROP ",
        "2020-04-06",
        16,
    ),
    // What a power cut left in the file.
    ("\0\0\0\0Apr  6 16:05:29 router kernel: DROP ", "", 16),
];

#[test]
fn every_form_of_head_tells_the_day_and_the_hour() {
    for (head, date, hour) in HEADS {
        let when = if date.is_empty() {
            When::Yearless { month: 4, day: 6 }
        } else {
            day(date)
        };
        let wanted = Attempt {
            when,
            hour: *hour,
            protocol: TCP,
            port: 23,
            source: [203, 0, 113, 9].into(),
        };
        for end in ["", "\n", "\r\n"] {
            assert_eq!(attempt(&format!("{head}{SYN}{end}")), wanted, "{head}");
        }
    }
}

#[test]
fn every_form_of_packet_tells_protocol_port_and_source() {
    let v4 = "203.0.113.9";
    for (packet, protocol, port, source) in [
        ("IN=ppp0 OUT= MAC= SRC=203.0.113.9 DST=192.0.2.1 LEN=118 TOS=0x00 PREC=0x00 TTL=242 ID=33872 PROTO=UDP SPT=22852 DPT=1900 LEN=98", UDP, 1900, v4),
        ("IN=wan OUT=br-lan MAC=02:00 SRC=203.0.113.9 DST=192.168.1.2 LEN=52 PROTO=TCP SPT=1 DPT=3389 WINDOW=1 SYN URGP=0 MARK=0x1", TCP, 3389, v4),
        ("IN=wan OUT= MAC=02:00 SRC=2001:0db8:0000:0000:0000:0000:0000:0009 DST=2001:db8::1 LEN=60 TC=0 HOPLIMIT=49 FLOWLBL=0 PROTO=TCP SPT=40000 DPT=22 WINDOW=64800 RES=0x00 SYN URGP=0", TCP, 22, "2001:db8::9"),
        ("IN=wan OUT= MAC=02:00 SRC=2001:db8::9 DST=2001:db8::1 LEN=64 TC=0 HOPLIMIT=1 FLOWLBL=0 PROTO=ICMPv6 TYPE=128 CODE=0 ID=1 SEQ=1", 58, 128, "2001:db8::9"),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=84 ID=1 PROTO=ICMP TYPE=8 CODE=0 ID=7 SEQ=1", 1, 8, v4),
        // What the error is about: another packet, of ours.
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=56 ID=1 PROTO=ICMP TYPE=3 CODE=1 [SRC=192.0.2.1 DST=198.51.100.7 LEN=40 ID=2 PROTO=TCP SPT=22 DPT=4444 WINDOW=1 RES=0x00 SYN URGP=0 ]", 1, 3, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=56 ID=1 PROTO=ICMP TYPE=3 CODE=4 [SRC=192.0.2.1 DST=198.51.100.7 LEN=40 PROTO=UDP SPT=1 DPT=2 LEN=8 ] MTU=1492", 1, 3, v4),
        ("IN=wan OUT= [SRC=192.0.2.1 PROTO=TCP DPT=1 ] SRC=203.0.113.9 DST=192.0.2.1 PROTO=ICMP TYPE=11 CODE=0", 1, 11, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=224.0.0.1 LEN=32 TOS=0x00 PREC=0xC0 TTL=1 ID=0 DF OPT (94040000) PROTO=2", 2, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=47", 47, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=gre", 47, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=ESP SPI=0x1234", 50, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=AH INCOMPLETE [8 bytes]", 51, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=UDPLITE SPT=1 DPT=9 LEN=8", 136, 9, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=132", 132, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=SCTP SPT=1 DPT=36412", 132, 36412, v4),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=60 ID=1 MF FRAG:185 PROTO=UDP", UDP, 0, v4),
        ("IN=wan OUT= MAC=02:00 SRC=2001:db8::9 DST=2001:db8::1 LEN=60 TC=0 OPT ( FRAG:64 ID:00000001 ) PROTO=UDP", UDP, 0, "2001:db8::9"),
        ("IN=wan OUT= MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 LEN=24 PROTO=TCP INCOMPLETE [4 bytes]", TCP, 0, v4),
        // ASUS, DD-WRT: a priority between the pieces. Other orders and cases.
        ("IN=vlan2 OUT= MAC=02:00 <1>SRC=203.0.113.9 DST=192.0.2.1 <1>LEN=40 TOS=0x00 PREC=0x00 TTL=1 ID=1 PROTO=TCP <1>SPT=1 DPT=23 SEQ=1 ACK=0 WINDOW=1 RES=0x00 SYN URGP=0", TCP, 23, v4),
        ("in=wan out= dpt=23 proto=tcp dst=192.0.2.1 src=203.0.113.9", TCP, 23, v4),
        ("IN=br-wan OUT= PHYSIN=eth0 MAC=02:00 SRC=203.0.113.9 DST=192.0.2.1 PROTO=TCP SPT=65535 DPT=65535", TCP, 65535, v4),
        ("IN=wan OUT= SRC=203.0.113.9 DST=192.0.2.1 PROTO=TCP SPT=0 DPT=0", TCP, 0, v4),
    ] {
        let read = attempt(&format!("2020-04-06T16:05:29 router kernel: DROP {packet}"));
        let wanted = (protocol, port, source.parse().unwrap());
        assert_eq!((read.protocol, read.port, read.source), wanted, "{packet}");
    }
}

#[test]
fn what_was_accepted_or_did_not_come_from_outside_is_no_attempt() {
    const FROM_OUTSIDE: &str = "IN=wan OUT= SRC=203.0.113.9 DST=192.0.2.1 PROTO=TCP SPT=1 DPT=22";
    for prefix in [
        "ACCEPT ",
        "ACCEPT wan in: ",
        "[UFW ALLOW] ",
        "[UFW AUDIT] ",
        "Allow-Ping: ",
        "Shorewall:net2fw:ACCEPT:",
        "accepted",
        "PERMIT:",
        "reject lan in: ",
        "REJECT wan out: ",
        "REJECT(dest wan)",
        "DROP(src lan)",
    ] {
        let line = format!("2020-04-06T16:05:29 router kernel: {prefix}{FROM_OUTSIDE}");
        assert_eq!(read(&line), Line::NoAttempt, "{line}");
    }
    for packet in [
        "IN= OUT=wan SRC=192.0.2.1 DST=203.0.113.9 PROTO=UDP SPT=1 DPT=53",
        "IN=lo OUT= SRC=127.0.0.1 DST=127.0.0.1 PROTO=UDP SPT=1 DPT=53",
        "IN=br-lan OUT=wan SRC=192.168.1.2 DST=203.0.113.9 PROTO=UDP SPT=1 DPT=50000",
        "IN=wan OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=1 MACSRC=02:00:00:00:00:01 IPSRC=203.0.113.9 MACDST=00:00:00:00:00:00 IPDST=192.0.2.1",
    ] {
        let line = format!("2020-04-06T16:05:29 router kernel: DROP {packet}");
        assert_eq!(read(&line), Line::NoAttempt, "{line}");
    }
    assert_eq!(
        read(&format!("2020-04-06T16:05:29 ACCEPT in {FROM_OUTSIDE}")),
        Line::NoAttempt
    );
}

#[test]
fn other_lines_are_foreign_also_where_strangers_wrote_netfilter_s_words_into_them() {
    for line in [
        String::new(),
        "\0\0\0".into(),
        "Apr  6 16:05:29 router dnsmasq[1]: query[A] example.net from 192.168.1.2".into(),
        "Mon Apr  6 16:05:29 2020 kern.info kernel: [    1.0] eth0: link up".into(),
        "kernel: LOGIN=x".into(),
        "-- MARK --".into(),
        format!("Apr  6 16:05:29 router dropbear[12]: Login attempt for nonexistent user 'x {SYN}' from 203.0.113.9"),
        format!("Apr  6 16:05:29 router sshd[12]: kernel: {SYN}"),
        format!("Mon Apr  6 16:05:29 2020 authpriv.info dropbear[12]: user ulogd[1]: {SYN}"),
        format!("Mon Apr  6 16:05:29 2020 daemon.info hostapd: {SYN}"),
        format!("Mon Apr  6 16:05:29 2020 local7.info x: kernel: {SYN}"),
        format!("<34>1 2020-04-06T16:05:29Z router uhttpd 12 ID47 - kernel: {SYN}"),
    ] {
        assert_eq!(read(&line), Line::Foreign, "{line}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let packet = |packet: &str| format!("2020-04-06T16:05:29 router kernel: DROP IN=wan OUT= {packet}");
    let stamp = |stamp: &str| format!("{stamp} router kernel: DROP {SYN}");
    for (line, why) in [
        (format!("[12345.678901] {SYN}"), Why::NoDate),
        (format!("<4>[12345.678901] {SYN}"), Why::NoDate),
        (format!("4,1234,5678901234,-;{SYN}"), Why::NoDate),
        (SYN.into(), Why::NoDate),
        (format!("2020-04-06 {SYN}"), Why::NoDate),
        (format!("2020-04-06T16:05 {SYN}"), Why::NoDate),
        (stamp("2020-02-30T16:05:29"), Why::BadDate),
        (stamp("2020-13-01T16:05:29"), Why::BadDate),
        (stamp("0000-00-00T00:00:00"), Why::BadDate),
        (stamp("2020-04-06T24:00:00"), Why::BadDate),
        (stamp("2020-04-06T16:60:00"), Why::BadDate),
        (stamp("2020-04-06T16:05:29+24:00"), Why::BadDate),
        (stamp("1970-01-01T00:00:00+10:00"), Why::BadDate),
        (stamp("9999-12-31T23:00:00Z"), Why::BadDate),
        (stamp("Apr 31 16:05:29"), Why::BadDate),
        (stamp("Apr  0 16:05:29"), Why::BadDate),
        (stamp("Apr  6 25:05:29"), Why::BadDate),
        (stamp("Sat Feb 29 16:05:29 2019"), Why::BadDate),
        (packet("SRC=180.188.x.x PROTO=TCP SPT=1 DPT=2"), Why::BadSource),
        (packet("SRC= PROTO=TCP SPT=1 DPT=2"), Why::BadSource),
        (packet("SRC=203.0.113.256 PROTO=TCP SPT=1 DPT=2"), Why::BadSource),
        (packet("DST=203.0.113.9 PROTO=TCP SPT=1 DPT=2"), Why::BadSource),
        (packet("SRC=203.0.113.9 SPT=1 DPT=2"), Why::BadProtocol),
        (packet("SRC=203.0.113.9 PROTO=256"), Why::BadProtocol),
        (packet("SRC=203.0.113.9 PROTO=QUIC"), Why::BadProtocol),
        (packet("SRC=203.0.113.9 PROTO= DPT=1"), Why::BadProtocol),
        (packet("SRC=203.0.113.9 PROTO=TCP SPT=1"), Why::BadPort),
        (packet("SRC=203.0.113.9 PROTO=TCP SPT=1 DPT=65536"), Why::BadPort),
        (
            packet("SRC=203.0.113.9 PROTO=TCP SPT=1 DPT=99999999999999999999"),
            Why::BadPort,
        ),
        (packet("SRC=203.0.113.9 PROTO=TCP SPT=1 DPT=-1"), Why::BadPort),
        (packet("SRC=203.0.113.9 PROTO=TCP SPT=1 DPT=2\u{7}3"), Why::BadPort),
        (packet("SRC=203.0.113.9 PROTO=ICMP TYPE=256 CODE=0"), Why::BadPort),
        (format!("{} {SYN}", "x".repeat(LONGEST_LINE)), Why::TooLong),
        ("last message repeated 1000001 times".into(), Why::BadRepetition),
    ] {
        assert_eq!(read(&line), Line::Unread(why), "{line}");
        assert!(!why.to_string().is_empty());
    }
    assert!(matches!(parse(&[b'x'; LONGEST_LINE], &TOKYO), Line::Foreign));
}

#[test]
fn the_kernel_s_own_stamp_counts_from_the_boot_that_is_given() {
    let times = Times {
        boot: Some(AFTERNOON - 12345),
        ..TOKYO
    };
    for head in ["[12345.678901] ", "<4>[12345.678901] DROP ", "[    7.000001] "] {
        let Line::Attempt(attempt) = parse(format!("{head}{SYN}").as_bytes(), &times) else {
            panic!("{head}");
        };
        let hour = if head.contains('7') && head.contains("    ") {
            12
        } else {
            16
        };
        assert_eq!((attempt.when, attempt.hour), (day("2020-04-06"), hour), "{head}");
    }
}

#[test]
fn daemons_shorthand_for_repetitions() {
    for line in [
        "Apr  6 16:05:59 router last message repeated 3 times",
        "Apr  6 16:05:59 router syslogd: last message repeated 3 times",
        "Mon Apr  6 16:05:59 2020 kern.warn kernel: last message repeated 3 times",
        "Apr  6 16:05:59 router --- last message repeated 3 times ---",
        "2020-04-06T16:05:59 router kernel: message repeated 3 times: [ something else]",
        "2020-04-06T16:05:59 router syslog-ng[7]: Last message 'something else' repeated 3 times, suppressed by syslog-ng on router",
    ] {
        assert_eq!(read(line), Line::Repeated { times: 3, of: None }, "{line}");
    }
    for line in [
        format!("2020-04-06T16:05:29 router kernel: message repeated 3 times: [ [123.456] DROP {}]", SYN.trim()),
        format!("2020-04-06T16:05:29 router kernel: Last message 'kernel: DROP {SYN}' repeated 3 times, suppressed by syslog-ng on router"),
    ] {
        let of = Some(attempt(&format!("2020-04-06T16:05:29 router kernel: {SYN}")));
        assert_eq!(read(&line), Line::Repeated { times: 3, of }, "{line}");
    }
    for line in [
        "the message repeated itself 3 times",
        "message repeated x times",
        "last message repeated 3",
        "message 'x",
    ] {
        assert_eq!(read(line), Line::Foreign, "{line}");
    }
}

const TODAY: &str = "2020-05-01";

fn reading(lines: &[String]) -> Reading {
    let today: Date = TODAY.parse().unwrap();
    let mut reading = Reading::new(today, today);
    lines.iter().for_each(|line| reading.line(line.as_bytes(), &TOKYO));
    reading
}

/// The files' counts, and the days' sums.
fn tally(files: &[&[String]]) -> (Vec<FileCount>, Vec<(String, u64)>) {
    let mut tally = Tally::default();
    let counts = files.iter().map(|lines| tally.add(reading(lines))).collect();
    let days = tally.into_days().map(|day| (day.date.to_string(), day.attempts()));
    (counts, days.collect())
}

fn stamped(stamps: &[&str]) -> Vec<String> {
    stamps
        .iter()
        .map(|stamp| format!("{stamp} router kernel: {SYN}"))
        .collect()
}

fn dates(stamps: &[&str]) -> Vec<String> {
    let (_, days) = tally(&[&stamped(stamps)]);
    days.into_iter().map(|(date, _)| date).collect()
}

#[test]
fn the_year_of_a_classic_stamp_is_that_of_the_file_s_end_or_of_its_neighbours() {
    const NOON: &str = "12:00:00";
    let classic = |days: &[&str]| {
        let stamps: Vec<String> = days.iter().map(|day| format!("{day} {NOON}")).collect();
        dates(&stamps.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Today is the 1st of May; a log server may be ahead.
    assert_eq!(classic(&["Apr 30"]), ["2020-04-30"]);
    assert_eq!(classic(&["May  2"]), ["2020-05-02"]);
    assert_eq!(classic(&["May  3"]), ["2019-05-03"]);
    assert_eq!(classic(&["Dec 31"]), ["2019-12-31"]);
    assert_eq!(classic(&["Dec 31", "Jan  1"]), ["2019-12-31", "2020-01-01"]);
    // Not quite in order, or the newer file first.
    assert_eq!(classic(&["Jan  1", "Dec 31"]), ["2019-12-31", "2020-01-01"]);
    assert_eq!(classic(&["Apr  6", "Mar 20"]), ["2020-03-20", "2020-04-06"]);
    // More than a year, with the day that not every year has.
    let months = ["Feb 28", "Apr  1", "Aug  1", "Dec  1", "Feb 28", "Feb 29", "Apr 1"];
    let wanted = [
        "2019-02-28",
        "2019-04-01",
        "2019-08-01",
        "2019-12-01",
        "2020-02-28",
        "2020-02-29",
        "2020-04-01",
    ];
    assert_eq!(classic(&months), wanted);
    assert_eq!(classic(&["Feb 28", "Feb 29"]), ["2020-02-28", "2020-02-29"]);
    // A day that is later this year, and exists in leap years only.
    let leap: Date = "2023-02-10".parse().unwrap();
    let mut file = Reading::new(leap, leap);
    file.line(stamped(&["Feb 29 12:00:00"])[0].as_bytes(), &TOKYO);
    let mut run = Tally::default();
    assert_eq!(run.add(file).attempts, 1);
    assert_eq!(run.into_days().next().unwrap().date.to_string(), "2020-02-29");
    // The file's own date counts, not today's.
    let mut file = Reading::new(TODAY.parse().unwrap(), "2018-12-31".parse().unwrap());
    file.line(stamped(&["Apr  6 12:00:00"])[0].as_bytes(), &TOKYO);
    let mut run = Tally::default();
    run.add(file);
    assert_eq!(run.into_days().next().unwrap().date.to_string(), "2018-04-06");
}

#[test]
fn a_file_that_jumps_about_leads_nowhere() {
    let lines: Vec<String> = (0..20_000)
        .map(|number| {
            format!(
                "{} 12:00:00 router kernel: {SYN}",
                ["Jan  1", "May  1", "Sep  1", "Feb 29"][number % 4]
            )
        })
        .collect();
    let (counts, days) = tally(&[&lines]);
    assert_eq!(counts[0].attempts + counts[0].unread, 20_000);
    assert_eq!(days.iter().map(|day| day.1).sum::<u64>(), counts[0].attempts);
    assert!(days.len() < 90 && days[0].0.as_str() >= "2000-01-01" && days[days.len() - 1].0.as_str() <= "2020-05-02");
}

#[test]
fn stamps_with_a_year_settle_those_without() {
    let mixed = dates(&[
        "Nov 30 12:00:00",
        "2018-12-02T12:00:00",
        "Dec 31 12:00:00",
        "Jan  1 12:00:00",
    ]);
    assert_eq!(mixed, ["2018-11-30", "2018-12-02", "2018-12-31", "2019-01-01"]);
    let (counts, days) = tally(&[&stamped(&["2019-02-28T12:00:00", "Feb 29 12:00:00"])]);
    assert_eq!(
        (counts[0].unread, counts[0].shown[0].why, days.len()),
        (1, Why::BadDate, 1)
    );
}

#[test]
fn a_clock_that_was_not_set_or_runs_ahead_is_no_day() {
    let lines = stamped(&[
        "1999-12-31T12:00:00",
        "1970-01-01T00:00:07",
        "2020-05-03T00:00:00",
        "2020-05-02T00:00:00",
    ]);
    let (counts, days) = tally(&[&lines]);
    let reasons: Vec<Why> = counts[0].shown.iter().map(|unread| unread.why).collect();
    assert_eq!(reasons, [Why::TooEarly, Why::TooEarly, Why::TooLate]);
    assert_eq!(days, [("2020-05-02".to_owned(), 1)]);
}

#[test]
fn files_add_up_and_the_same_content_counts_once() {
    let one = stamped(&["2020-04-06T01:00:00", "2020-04-06T02:00:00"]);
    let other = stamped(&["2020-04-06T03:00:00"]);
    let (counts, days) = tally(&[&one, &other, &one]);
    assert_eq!(days, [("2020-04-06".to_owned(), 3)]);
    assert_eq!(
        counts.iter().map(|count| count.known).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!((counts[2].lines, counts[2].attempts), (2, 2));
    let (counts, _) = tally(&[&[], &[]]);
    assert!(
        counts.iter().all(|count| !count.known),
        "empty files are not worth a word"
    );
}

#[test]
fn repetitions_count_for_the_line_before() {
    let again = "Apr  6 16:06:29 router last message repeated 4 times".to_owned();
    let line = stamped(&["Apr  6 16:05:29"]).remove(0);
    let (counts, days) = tally(&[&[line.clone(), again.clone(), again.clone(), "x".into(), again.clone()]]);
    assert_eq!((counts[0].attempts, counts[0].repeated, counts[0].foreign), (9, 8, 2));
    assert_eq!(days, [("2020-04-06".to_owned(), 9)]);
    assert_eq!(tally(&[&[again]]).0[0].foreign, 1);
}

#[test]
fn unread_lines_are_shown_short_and_without_control_characters() {
    let mut lines = vec!["x".to_owned()];
    lines.extend((0..7).map(|_| format!("\x1b[2J\u{202e}é {SYN}{}", "y".repeat(300))));
    let (counts, _) = tally(&[&lines]);
    assert_eq!((counts[0].lines, counts[0].unread, counts[0].shown.len()), (8, 7, 5));
    let first = &counts[0].shown[0];
    assert_eq!((first.line, first.why), (2, Why::NoDate));
    assert!(first.text.starts_with("\\u{1b}[2J\\u{202e}é IN=eth1"), "{}", first.text);
    assert_eq!(first.text.chars().count(), 120);
}

/// A line of an attempt.
fn told(date: &str, hour: u8, port: u16, source: IpAddr) -> String {
    format!(
        "{date}T{hour:02}:00:00 router kernel: DROP IN=wan OUT= SRC={source} DST=192.0.2.1 PROTO=TCP SPT=1 DPT={port}"
    )
}

fn nth_source(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from(0xc612_0000 + number).into()
}

/// The largest first.
fn largest(ports: &[(u8, u16, u64)]) -> Vec<(u8, u16, u64)> {
    let mut ports = ports.to_vec();
    ports.sort_by_key(|port| std::cmp::Reverse(port.2));
    ports
}

fn largest_source(day: &DayCount) -> &SourceCount {
    day.sources.iter().max_by_key(|source| source.attempts).unwrap()
}

#[test]
fn scans_and_spoofed_floods_do_not_hide_who_is_large() {
    let large = nth_source(0);
    let mut lines: Vec<String> = (1..=65_535)
        .map(|port| told("2020-04-06", 2, port, nth_source(port.into())))
        .collect();
    lines.extend((0..5000).map(|_| told("2020-04-06", 13, 1900, large)));
    lines.extend((1..=9000).map(|number| told("2020-04-06", 14, 1 + number, nth_source(number.into()))));
    lines.extend((0..40).map(|port| told("2020-04-06", 15, port, large)));
    lines.extend((0..300).map(|_| told("2020-04-06", 15, 3389, large)));
    let mut run = Tally::default();
    run.add(reading(&lines));
    let day = run.into_days().next().unwrap();
    assert_eq!((day.attempts(), day.hours[2], day.hours[13]), (79_875, 65_535, 5000));
    assert!(
        (day.ports.len(), day.sources.len()) == (64, 256),
        "{} {}",
        day.ports.len(),
        day.sources.len()
    );
    // The scans came to these ports, too, and may have been dropped as small.
    for ((protocol, port, attempts), (wanted, least)) in largest(&day.ports).iter().zip([(1900, 5000), (3389, 300)]) {
        assert_eq!((*protocol, *port), (TCP, wanted));
        assert!((least..=least + 2).contains(attempts), "{port}: {attempts}");
    }
    let source = largest_source(&day);
    let ports = largest(&source.ports);
    assert_eq!((source.address, source.attempts), (large, 5340));
    assert_eq!(source.hours, [(13, 5000), (15, 340)]);
    assert_eq!(
        (ports.len(), ports[0], ports[1]),
        (4, (TCP, 1900, 5000), (TCP, 3389, 300))
    );
}

#[test]
fn many_days_keep_their_sums_and_only_the_newest_their_sources() {
    let first: Date = "2009-06-01".parse().unwrap();
    let mut today = first;
    let mut file = Reading::new(first.plus(4000).unwrap(), first);
    for number in 0..4001_u32 {
        for source in 0..20 {
            let line = told(&today.to_string(), 5, 22, nth_source(source));
            (0..=source).for_each(|_| file.line(line.as_bytes(), &TOKYO));
        }
        assert_eq!(file.attempts(), 210 * u64::from((number + 1).min(4000)));
        today = today.plus(1).unwrap();
    }
    let mut run = Tally::default();
    let count = run.add(file);
    assert_eq!((count.unread, count.shown[0].why), (210, Why::TooManyDays));
    let days: Vec<DayCount> = run.into_days().collect();
    assert!(days
        .iter()
        .all(|day| day.attempts() == 210 && day.hours[5] == 210 && day.ports == [(TCP, 22, 210)]));
    let sources: Vec<usize> = days.iter().map(|day| day.sources.len()).collect();
    assert_eq!(
        (days.len(), sources.iter().filter(|count| **count == 20).count()),
        (4000, 32)
    );
    assert!(days[0].sources.len() == 4 && largest_source(&days[0]).attempts == 20);
}

#[test]
fn a_full_run_says_what_had_no_room() {
    let days = |first: Date, count: i32| {
        let lines: Vec<String> = (0..count)
            .map(|day| told(&first.plus(day).unwrap().to_string(), 0, 1, nth_source(1)))
            .collect();
        let mut reading = Reading::new("2024-01-01".parse().unwrap(), first);
        lines.iter().for_each(|line| reading.line(line.as_bytes(), &TOKYO));
        reading
    };
    let mut run = Tally::default();
    assert_eq!(run.add(days("2003-01-01".parse().unwrap(), 3999)).unread, 0);
    let count = run.add(days("2002-12-30".parse().unwrap(), 3));
    assert_eq!(
        (count.attempts, count.unread, count.shown[0].why),
        (2, 1, Why::TooManyDays)
    );
    assert_eq!(run.into_days().count(), 4000);
}

fn attempts() -> impl Strategy<Value = (Date, u8, u8, u16, IpAddr)> {
    let date = (10_957..18_000_i64).prop_map(|days| Date::from_days(days).unwrap());
    let source = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u16; 8]>().prop_map(IpAddr::from)
    ];
    let what = prop_oneof![
        (prop::sample::select(vec![TCP, UDP, 136, 132]), any::<u16>()),
        (prop::sample::select(vec![1, 58]), 0..256_u16),
        (
            any::<u8>().prop_filter("with ports", |number| ![1, 6, 17, 33, 58, 132, 136].contains(number)),
            Just(0)
        ),
    ];
    (date, 0..24_u8, what, source)
        .prop_map(|(date, hour, (protocol, port), source)| (date, hour, protocol, port, source))
}

proptest! {
    #[test]
    fn a_line_in_each_form_is_the_attempt_it_was_made_of((date, hour, protocol, port, source) in attempts(), form in 0..7, prefix in "[a-z ]{0,8}", cut in any::<bool>()) {
        let (year, month, day) = date.year_month_day();
        let name = std::str::from_utf8(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * usize::from(month - 1)..][..3]).unwrap();
        let time = format!("{hour:02}:59:07");
        let utc = i64::from(date.days()) * 86_400 + i64::from(hour) * 3600 - 9 * 3600;
        let utc_date = Date::from_days(utc.div_euclid(86_400)).unwrap();
        let head = match form {
            0 => format!("{date}T{time} router kernel: "),
            1 => format!("{date}T{time}.25+09:00 router kernel: [1.5] "),
            2 => format!("<4>1 {utc_date}T{:02}:00:00Z router kernel - - - ", utc.rem_euclid(86_400) / 3600),
            3 => format!("{name} {day:2} {time} router kernel: "),
            4 => format!("Mon {name} {day:2} {time} {year} kern.warn kernel: [    1.5] "),
            5 => format!("[Mon {name} {day:2} {time} {year}] "),
            _ => format!("{utc}.5 router kernel: "),
        };
        let words = match protocol {
            TCP => format!("TCP SPT=1 DPT={port} WINDOW=1 RES=0x00 SYN URGP=0 "),
            UDP => format!("UDP SPT=1 DPT={port} LEN=9"),
            136 => format!("UDPLITE SPT=1 DPT={port} LEN=9"),
            132 => format!("SCTP SPT=1 DPT={port}"),
            1 => format!("ICMP TYPE={port} CODE=0 [SRC=192.0.2.1 DST=192.0.2.2 PROTO=TCP SPT=1 DPT=1 ] "),
            58 => format!("ICMPv6 TYPE={port} CODE=0 "),
            other => other.to_string(),
        };
        let prefix = if ["accept", "allow", "pass", "audit", "permit", "out"].iter().any(|word| prefix.contains(word)) { "DROP" } else { &prefix };
        let line = format!("{head}{prefix}IN=wan OUT={} MAC=02:00 SRC={source} DST=192.0.2.1 LEN=1 ID=1 PROTO={words}", if cut { "" } else { "br-lan" });
        let when = if form == 3 { When::Yearless { month, day } } else { When::Day(date) };
        prop_assert_eq!(read(&line), Line::Attempt(Attempt { when, hour, protocol, port, source }), "{}", line);
    }

    #[test]
    fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..300), boot in any::<Option<i64>>(), ahead in any::<Option<i64>>()) {
        let local = |_: i64| ahead;
        let _ = parse(&line, &Times { local: &local, boot });
    }

    #[test]
    fn no_damage_to_a_line_makes_it_panic_and_nothing_is_lost(
        heads in prop::collection::vec((0..HEADS.len(), any::<prop::sample::Index>(), any::<u8>()), 1..20), boot in any::<Option<i64>>(),
    ) {
        let today: Date = TODAY.parse().unwrap();
        let mut file = Reading::new(today, today);
        for (head, at, byte) in &heads {
            let mut line = format!("{}{SYN}", HEADS[*head].0).into_bytes();
            let at = at.index(line.len());
            line[at] = *byte;
            file.line(&line, &Times { local: &tokyo, boot });
        }
        let mut run = Tally::default();
        let count = run.add(file);
        prop_assert_eq!(count.lines, count.attempts + count.no_attempts + count.foreign + count.unread);
        prop_assert_eq!(count.attempts, run.into_days().map(|day| day.attempts()).sum::<u64>());
    }
}
