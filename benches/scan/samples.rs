//! The messages the scan is measured with.

/// What a monitor sends every few seconds.
pub(crate) const OPTIONS: &str = "OPTIONS sip:edge.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKab12;rport\r\n\
Max-Forwards: 70\r\n\
From: <sip:ping@example.com>;tag=1f2e\r\n\
To: <sip:edge.example.com>\r\n\
Call-ID: 4711@192.0.2.10\r\n\
CSeq: 12 OPTIONS\r\n\
Content-Length: 0\r\n\
\r\n";

/// An INVITE as a desk phone sends it, 800 bytes with its offer.
pub(crate) const INVITE: &str = "INVITE sip:+15550123@example.com;user=phone SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.44:5062;branch=z9hG4bK-524287-1---7c1d2a9f04;rport\r\n\
Max-Forwards: 70\r\n\
Route: <sip:joe+e1+e3+5f0c@edge.example.com;lr>\r\n\
Contact: <sip:joe@192.0.2.44:5062>\r\n\
To: <sip:+15550123@example.com;user=phone>\r\n\
From: \"Joe\" <sip:joe@example.com>;tag=a73kszlfl\r\n\
Call-ID: 1j9FpLxk3uxtm8tn@192.0.2.44\r\n\
CSeq: 1 INVITE\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE, REFER, NOTIFY, MESSAGE\r\n\
Supported: path, outbound, gruu\r\n\
User-Agent: Desk/1.4.22\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 234\r\n\
\r\n\
v=0\r\n\
o=- 3724394400 3724394405 IN IP4 192.0.2.44\r\n\
s=call\r\n\
c=IN IP4 192.0.2.44\r\n\
t=0 0\r\n\
m=audio 49170 RTP/AVP 96 8 0 101\r\n\
a=rtpmap:96 opus/48000/2\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n\
a=rtcp-mux\r\n";

/// An INVITE that crossed several proxies and offers video, about 3 KiB.
pub(crate) fn large_invite() -> String {
    let vias: String = (1..8)
        .map(|hop| format!("Via: SIP/2.0/TCP p{hop}.example.net;branch=z9hG4bK{hop}d0c3f0a9{hop}7;received=198.51.100.{hop}\r\n"))
        .collect();
    let routes: String = (1..6)
        .map(|hop| {
            format!("Record-Route: <sip:p{hop}.example.net;transport=tcp;lr;ftag=a73kszlfl>\r\n")
        })
        .collect();
    let identity =
        "X-Trace: 6d1f0b7e2c9a4d53b8f6a1907c3e5d28-00f067aa0ba902b7-01;load=0.42;site=north\r\n"
            .repeat(3);
    let media =
        "a=candidate:1 1 UDP 2130706431 192.0.2.44 49170 typ host\r\na=rtcp-fb:97 nack pli\r\n"
            .repeat(13);
    let head = INVITE.replacen(
        "Max-Forwards",
        &format!("{vias}{routes}{identity}Max-Forwards"),
        1,
    );
    let length = 234 + media.len();
    head.replacen(
        "Content-Length: 234",
        &format!("Content-Length: {length}"),
        1,
    ) + &media
}
