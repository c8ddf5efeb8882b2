//! Programs on the addresses of the lab's own nodes, at ports that are not the
//! nodes': strangers, whatever they send and over what.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::lab::{EDGES, HOME, Lab};
use crate::process::poll;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What `to` answers to a request from any port of `from`.
fn answer(over: &str, from: &str, to: &str, request: &str) -> String {
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    let to: SocketAddr = format!("{to}:5060").parse().expect("an address");
    let text = |local: SocketAddr| {
        let request = request.replace("HERE", &local.to_string());
        request.replace("OVER", over).replace('\n', "\r\n")
    };
    let mut room = [0; 4_096];
    let read = if over == "UDP" {
        let socket = UdpSocket::bind(from).expect("the address is there");
        let local = socket.local_addr().expect("it is bound");
        let limit = Some(Duration::from_millis(250));
        socket.set_read_timeout(limit).expect("a limit");
        // What is longer than the question comes when it is asked again.
        poll(ANSWER_MAX, || {
            socket.send_to(text(local).as_bytes(), to).expect("sent");
            socket.recv(&mut room).ok()
        })
    } else {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&from.into()).expect("the address is there");
        socket.connect(&to.into()).expect("it listens");
        let mut stream: TcpStream = socket.into();
        let local = stream.local_addr().expect("it is bound");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a limit");
        stream.write_all(text(local).as_bytes()).expect("sent");
        stream.read(&mut room).ok()
    };
    let read = read.unwrap_or_else(|| panic!("{to} does not answer {from} over {over}"));
    String::from_utf8_lossy(&room[..read]).into_owned()
}

fn request(method: &str, uri: &str, extra: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/OVER HERE;rport;branch=z9hG4bKpeer{method}OVER\n\
         Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=peer\nTo: <sip:joe@example.com>\n\
         Call-ID: {method}-HERE\nCSeq: 1 {method}\nContact: <sip:joe@HERE>\n{extra}\
         Content-Length: 0\n\n"
    )
}

#[test]
fn whoever_shares_the_address_of_a_node_is_a_stranger() {
    for flags in [&["--strict"][..], &["--strict", "--tls"]] {
        let lab = Lab::start_with("peers-strangers", flags);
        for over in ["UDP", "TCP"] {
            // An edge would be asked for credentials.
            let register = request(
                "REGISTER",
                "sip:example.com",
                "Supported: path, alt-proxies\n",
            );
            let response = answer(over, EDGES[0], HOME, &register);
            assert!(
                response.starts_with("SIP/2.0 300 "),
                "{flags:?} {over}: {response}"
            );
            // A home would hear that no flow is named (404).
            let away = request("OPTIONS", "sip:bob@elsewhere.example.net", "");
            for from in [HOME, EDGES[1]] {
                let response = answer(over, from, EDGES[0], &away);
                assert!(
                    response.starts_with("SIP/2.0 403 "),
                    "{flags:?} {over} {from}: {response}"
                );
            }
        }
        drop(lab);
    }
}
