//! Messages made by chance from pieces that are legal, odd or wrong, so that
//! most of them get past the first rule they could break.

use super::chance::Chance;

const STARTS: [&str; 12] = [
    "INVITE sip:joe@example.com SIP/2.0",
    "INVITE sip:joe@example.com;user=phone;lr SIP/2.0",
    "REGISTER sips:example.com SIP/2.0",
    "OPTIONS tel:+15550123;phone-context=x SIP/2.0",
    "INVITE sip:a:pw@[2001:db8::1]:5061;maddr=[::1];transport=TCP sip/2.0",
    "INVITE sip:h?Route=x SIP/2.0",
    "SIP/2.0 200 OK",
    "SIP/2.0 180 ",
    "SIP/2.0 99 No",
    "INVITE <sip:h> SIP/2.0",
    "INVITE  sip:h SIP/2.0",
    "NEWMETHOD urn:x:y SIP/2.0",
];

const VIAS: [&str; 14] = [
    "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa",
    "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa",
    "SIP/2.0/TCP h.example;branch=z9hG4bKa;received=192.0.2.9;rport=5061",
    "SIP / 2.0 / UDP  h.example : 5060 ; branch = z9hG4bKa",
    "SIP/2.0/ UDP h.example;branch=z9hG4bKa",
    "SIP/2.0/UDP\t[2001:db8::1]:5060;received=[2001:db8::9];branch=\"q;,\"",
    "SIP/2.0/TLS h;x=\"a,b\";branch=z9hG4bKa, SIP/2.0/UDP g",
    "SIP/2.0/UDP h;maddr=224.0.1.75;ttl=1;branch",
    "SIP/2.0/UDP h;branch= ;rport=5x",
    "SIP/2.0/UDP h:0;branch=z9hG4bKa",
    "SIP/2.0/UDP 1.2.3;branch=z9hG4bKa",
    "SIP/2.0/UDP h;branch=a;Branch=b",
    " , SIP/2.0/UDP h;branch=z9hG4bKb,",
    "SIP/7/WS name_with_underscore.example.",
];

const ADDRESSES: [&str; 18] = [
    "<sip:joe@example.com>",
    "<sip:joe@example.com>;tag=1",
    "\"Joe \\\" , <x>\" <sip:joe@example.com;lr>;tag=\"a;b\"",
    "Joe B <sips:joe@example.com:5061>;x = y ; tag=2",
    "sip:joe@example.com;tag=3",
    "sip:joe@example.com",
    "J\u{fc}rgen <sip:j@h>",
    "<tel:+15550123>;tag=4",
    "<sip:a@b>, <sip:c,d@e;lr>;q=0.5",
    "*",
    "sip:h?x=y",
    "<sip:a b>",
    "Joe, B <sip:a@b>",
    "\"open <sip:a@b>",
    "<sip:a@b>;;tag=1",
    "<sip:[::1]>;tag",
    "<http://h/p?q>",
    "<:x>",
];

const OTHERS: [&str; 24] = [
    "Max-Forwards: 70",
    "max-forwards:0",
    "Supported: path, outbound",
    "k: gruu",
    "Require:",
    "Expires: 3600",
    "User-Agent: x/1",
    "Allow: INVITE, ACK",
    "Content-Type: application/sdp",
    "X-Odd!name%: value",
    "Proxy-Authorization: Digest username=\"a\", realm=\"b, c\"",
    "Content-Length: 0",
    "l: 4",
    "Content-Length: x",
    "Call-ID: second@h",
    "Max-Breadth: 60",
    "Subject: a\tb \"c",
    "no colon here",
    ": no name",
    "Sp ace: x",
    "Warning: 399 h \"\u{e4}\"",
    "Outbound-Proxy: <sip:t@e;lr>",
    "P: v",
    "Min-Expires:60",
];

/// A message; legal about as often as not.
pub(crate) fn message(chance: &mut Chance) -> Vec<u8> {
    let start = if chance.one_in(3) {
        chance.pick(&STARTS)
    } else {
        STARTS[0]
    };
    let mut lines = vec![start.to_owned()];
    let method = if start.starts_with("SIP/") {
        "INVITE"
    } else {
        start.split(' ').next().unwrap()
    };
    header(&mut lines, &["Via", "v", "VIA"], &VIAS, chance);
    header(&mut lines, &["From", "f"], &ADDRESSES, chance);
    header(&mut lines, &["To", "t", "tO "], &ADDRESSES, chance);
    if !chance.one_in(20) {
        lines.push(format!(
            "{}: {}",
            chance.pick(&["Call-ID", "i"]),
            chance.pick(&["a@b", "a", "x y"])
        ));
    }
    let number = if chance.one_in(8) {
        chance.pick(&["0", "2147483648", "x", "", "007"])
    } else {
        "1"
    };
    let method = if chance.one_in(12) { "BYE" } else { method };
    lines.push(format!(
        "CSeq:{number}{}{method}",
        chance.pick(&[" ", " ", "  ", "\r\n "])
    ));
    for _ in 0..chance.below(6) {
        match chance.below(4) {
            0 => lines.push(chance.pick(&OTHERS).to_owned()),
            1 => header(
                &mut lines,
                &["Contact", "m", "Route", "Record-Route", "Path"],
                &ADDRESSES,
                chance,
            ),
            2 => header(&mut lines, &["Via", "v"], &VIAS, chance),
            _ => lines.push(OTHERS[chance.below(10)].to_owned()),
        }
    }
    if chance.one_in(100) {
        lines.extend(vec!["X: y".to_owned(); 245 + chance.below(10)]);
    }
    // Order counts for nothing but repetition.
    let last = lines.len() - 1;
    for _ in 0..chance.below(4) {
        lines.swap(1 + chance.below(last), 1 + chance.below(last));
    }
    let end = if chance.one_in(30) { "\n" } else { "\r\n" };
    format!(
        "{}{end}{end}{}",
        lines.join(end),
        chance.pick(&["", "", "v=0\r\n", "body"])
    )
    .into_bytes()
}

fn header(lines: &mut Vec<String>, names: &[&str], values: &[&str], chance: &mut Chance) {
    let name = chance.pick(names);
    let colon = chance.pick(&[": ", ": ", ": ", ":", " : ", ":  ", ":\r\n "]);
    // The first few values of each list are sound.
    let value = if chance.one_in(3) {
        chance.pick(values)
    } else {
        values[chance.below(4)]
    };
    let behind = chance.pick(&["", "", "", "", "", " ", "\t", "\r\n "]);
    if !chance.one_in(40) {
        lines.push(format!("{name}{colon}{value}{behind}"));
    }
}
