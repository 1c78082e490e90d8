//! A router's log in which the seed's figures are: April of 2019 and of 2020, the attack on 6 April, and the ports that were tried every day. The same bytes
//! every time.

use lanward::date::Date;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Attempts of April 2020 without the 6th: 5 498.4 for each of the other 29 days.
pub const REST_OF_2020: u64 = 159_454;
/// Attempts of April 2019: the average of 2020 is 173.2 % of its average.
pub const APRIL_2019: u64 = 95_239;
/// What is usual on 6 April 2020 besides the attack.
pub const USUAL: u64 = 5_200;
/// Packets to UDP 1900 on that day.
pub const ATTACK: u64 = 92_890;
/// Those from [`ATTACKER`].
pub const FROM_ATTACKER: u64 = 70_000;
/// Those from it in the hours of 13 and of 16 o'clock, each.
pub const PEAK: u64 = 30_000;
/// Who sent the most of them.
pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 180));
/// Seconds that the clocks of this log are ahead of UTC.
pub const AHEAD: i64 = 9 * 3600;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// As the seed shows them.
    Seed,
    /// As all kinds of routers and syslog daemons write them, with other programs' lines between them.
    Mixed,
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Lines, of all kinds.
    pub lines: u64,
    /// Attempts in them.
    pub attempts: u64,
    /// Those of which is only said that they came again.
    pub repeated: u64,
}

/// A packet, and how often it came at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    /// Second of the day.
    second: u32,
    protocol: u8,
    port: u16,
    source: IpAddr,
    times: u32,
}

/// Numbers that look random (Steele and others, `SplitMix`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(((mixed >> 32) * u64::from(limit)) >> 32).unwrap_or(0)
    }

    fn source(&mut self) -> IpAddr {
        let host = u8::try_from(1 + self.below(170)).unwrap_or(1);
        match self.below(20) {
            0 => Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(host), 0, 0, 0, 1).into(),
            1..=8 => [203, 0, 113, host].into(),
            9..=15 => [198, 51, 100, host].into(),
            _ => [192, 0, 2, host].into(),
        }
    }
}

/// Writes the April of 2019 or of 2020.
///
/// # Errors
/// Those of `out`.
pub fn write_april(year: u16, forms: Forms, out: &mut dyn Write) -> io::Result<Told> {
    let mut told = Told::default();
    // A stamp with a year comes first: without one, nothing could tell the Aprils apart.
    let mut form = 0;
    for day in 1..=30 {
        let date = Date::of(year, 4, day).expect("April has 30 days");
        for (number, packet) in packets(date).iter().enumerate() {
            if forms == Forms::Mixed && number % 400 == 0 {
                form = (form + usize::from(told.lines > 0)) % FORMS;
                told.lines += noise(date, packet.second, out)?;
            }
            writeln!(out, "{}", line(form, date, packet))?;
            told.lines += 1;
            told.attempts += u64::from(packet.times);
            if packet.times > 1 && forms == Forms::Mixed {
                let again = packet.times - 1;
                writeln!(
                    out,
                    "{} router last message repeated {again} times",
                    classic(date, packet.second)
                )?;
                told.lines += 1;
                told.repeated += u64::from(again);
            } else {
                for _ in 1..packet.times {
                    writeln!(out, "{}", line(form, date, packet))?;
                    told.lines += 1;
                }
            }
        }
    }
    Ok(told)
}

/// How many attempts a day has: about as many as the one before.
fn usual(date: Date) -> u64 {
    let (year, _, day) = date.year_month_day();
    let swing = [0, 140, -210, 320, -90, 60, -340, 210, 90, -180];
    let sum: i64 = swing.iter().sum();
    assert_eq!(sum, 0, "the swings of ten days leave their sum as it is");
    let day = i64::from(day);
    let swing = swing[usize::try_from(day).unwrap_or(0) % 10];
    let (total, days) = match year {
        2019 => (APRIL_2019, 30),
        _ => (REST_OF_2020, 29),
    };
    let (total, days) = (i64::try_from(total).unwrap_or(0), days);
    let own = match (year, day) {
        (2020, 6) => i64::try_from(USUAL).unwrap_or(0),
        // What the others leave over: a remainder of the division, and the swing of the day that is not counted.
        (_, 30) => total - total / days * (days - 1) + if year == 2020 { -340 } else { 0 } + swing,
        _ => total / days + swing,
    };
    u64::try_from(own).unwrap_or(0)
}

fn packets(date: Date) -> Vec<Packet> {
    let (year, _, day) = date.year_month_day();
    let mut dice = Dice(u64::from(date.days().unsigned_abs()));
    let mut packets = Vec::new();
    let mut add = |count: u64, protocol, port: &dyn Fn(&mut Dice) -> u16, dice: &mut Dice| {
        for _ in 0..count {
            packets.push(Packet {
                second: dice.below(86_400),
                protocol,
                port: port(dice),
                source: dice.source(),
                times: 1,
            });
        }
    };
    let mut daily = vec![
        (TCP, 23, u64::from(200 + dice.below(401))),
        (TCP, 445, u64::from(190 + dice.below(21))),
        (TCP, 80, u64::from(45 + dice.below(11))),
        (TCP, 1433, u64::from(45 + dice.below(11))),
        (TCP, 3389, u64::from(45 + dice.below(11))),
        (ICMP, 8, 30),
    ];
    match (year, day) {
        (2020, 7) => daily.push((TCP, 58_742, 1100)),
        (2020, 8) => daily.extend([(TCP, 58_742, 900), (UDP, 5353, 800)]),
        _ => {}
    }
    let named: u64 = daily.iter().map(|(_, _, count)| count).sum();
    for (protocol, port, count) in daily {
        add(count, protocol, &|_| port, &mut dice);
    }
    let others = usual(date) - named;
    let any = |dice: &mut Dice| u16::try_from(6000 + dice.below(50_000)).unwrap_or(0);
    add(others / 5, UDP, &any, &mut dice);
    add(others - others / 5, TCP, &any, &mut dice);
    if (year, day) == (2020, 6) {
        attack(&mut packets, &mut dice);
    }
    packets.sort_unstable();
    packets
}

/// The attack by UDP 1900: thirty thousand in each of two hours from one source, a tenth of it between them, and the rest from fifteen others.
fn attack(packets: &mut Vec<Packet>, dice: &mut Dice) {
    let between = (FROM_ATTACKER - 2 * PEAK) / 2;
    let mut left: Vec<(IpAddr, u32, u64)> = [(13, PEAK), (14, between), (15, between), (16, PEAK)]
        .into_iter()
        .map(|(hour, count)| (ATTACKER, hour, count))
        .collect();
    let others = ATTACK - FROM_ATTACKER;
    for number in 0..15_u8 {
        let count = others / 15 + if number == 0 { others % 15 } else { 0 };
        left.push(([198, 51, 100, 200 + number].into(), 9 + u32::from(number) % 12, count));
    }
    for (source, hour, mut count) in left {
        while count > 0 {
            let times = if dice.below(50) == 0 { count.min(3) } else { 1 };
            count -= times;
            packets.push(Packet {
                second: hour * 3600 + dice.below(3600),
                protocol: UDP,
                port: 1900,
                source,
                times: u32::try_from(times).unwrap_or(1),
            });
        }
    }
}

const FORMS: usize = 7;

fn time(second: u32) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// A stamp without a year.
fn classic(date: Date, second: u32) -> String {
    format!("Apr {:2} {}", date.year_month_day().2, time(second))
}

fn line(form: usize, date: Date, packet: &Packet) -> String {
    let (year, _, _) = date.year_month_day();
    let (clock, classic) = (time(packet.second), classic(date, packet.second));
    let utc = i64::from(date.days()) * 86_400 + i64::from(packet.second) - AHEAD;
    let utc_date = Date::from_days(utc.div_euclid(86_400)).unwrap_or(date);
    let utc_time = time(u32::try_from(utc.rem_euclid(86_400)).unwrap_or(0));
    let head = match form {
        0 => format!("{date}T{clock} router kernel: DROP "),
        1 => format!("{classic} router kernel: [12345.678901] DROP wan in: "),
        2 => format!("Mon {classic} {year} kern.warn kernel: [12345.678901] reject wan in: "),
        3 => format!("<4>1 {utc_date}T{utc_time}Z router kernel - - - DROP "),
        4 => format!("{date}T{clock}.250000+09:00 router kernel: [12345.678901] reject wan in: "),
        5 => format!("[Mon {classic} {year}] DROP"),
        _ => format!("<4>{classic} router kernel: REJECT(src wan)"),
    };
    let address = match packet.source {
        IpAddr::V4(source) => format!("SRC={source} DST=192.0.2.1 LEN=118 TOS=0x00 PREC=0x00 TTL=242 ID=33872"),
        IpAddr::V6(source) => {
            format!("SRC={source} DST=2001:0db8:0000:00ff:0000:0000:0000:0001 LEN=118 TC=0 HOPLIMIT=49 FLOWLBL=0")
        }
    };
    let port = packet.port;
    let rest = match (packet.protocol, packet.source) {
        (TCP, _) => format!("TCP SPT=41234 DPT={port} WINDOW=1024 RES=0x00 SYN URGP=0 "),
        (UDP, _) => format!("UDP SPT=22852 DPT={port} LEN=98 "),
        (_, IpAddr::V4(_)) => format!("ICMP TYPE={port} CODE=0 ID=7 SEQ=1 "),
        // The same number means nothing there, and is told as a protocol's all the same.
        (_, IpAddr::V6(_)) => format!("1 TYPE={port} CODE=0 "),
    };
    format!("{head}IN=ppp0 OUT= MAC= {address} PROTO={rest}")
}

/// Lines that are no attempts. How many.
fn noise(date: Date, second: u32, out: &mut dyn Write) -> io::Result<u64> {
    let stamp = classic(date, second);
    writeln!(
        out,
        "{stamp} router dnsmasq[812]: query[A] example.net from 192.168.1.2"
    )?;
    writeln!(
        out,
        "{stamp} router kernel: ACCEPT IN=ppp0 OUT= MAC= SRC=203.0.113.9 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=1 DPT=993 "
    )?;
    writeln!(out, "{stamp} router dropbear[77]: Login attempt for nonexistent user 'IN=ppp0 OUT= SRC=203.0.113.9 PROTO=TCP DPT=1'")?;
    Ok(3)
}
