//! The records of RFC 8448 §3 after the handshake, and the secrets that follow from its own as
//! another implementation (Botan) has them.

use data_encoding::HEXLOWER;

use super::*;

const CLIENT_SECRET: &str = "9e40646ce79a7f9dc05af8889bce655287 5afa0b06df0087f792ebb7c17504a5";
const SERVER_SECRET: &str = "a11af9f05531f856ad47116b45a9503282 04b4f44bfb6b3a4b4f1f3fcb631643";
const TICKET_RECORD: &str = "17030300de 3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d \
    6af8f6b580dcf3d11d63c758db289a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9d\
    a773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce1306461513 9891d5e4c5b4\
    06f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d\
    64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b3\
    7bf15985684f";
const CLIENT_DATA: &str = "1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819\
    a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
const SERVER_DATA: &str = "1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efa\
    f97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
const CLIENT_GOODBYE: &str = "1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3";
const SERVER_GOODBYE: &str = "1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9";

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn end(role: Role) -> Session {
    let secret = |hex| (Secret::new(&bytes(hex)).unwrap(), 0);
    let (client, server) = (secret(CLIENT_SECRET), secret(SERVER_SECRET));
    match role {
        Role::Client => Session::tls13(Cipher::Aes128Gcm, role, server, client),
        Role::Server => Session::tls13(Cipher::Aes128Gcm, role, client, server),
    }
}

#[test]
fn the_trace_of_rfc_8448_is_read_and_written() {
    let content: Vec<u8> = (0..50).collect();
    let (mut client, mut server) = (end(Role::Client), end(Role::Server));
    let heard = hear(&mut client, &bytes(TICKET_RECORD));
    assert_eq!(heard.stand, Stand::Open);
    let [ticket] = &heard.tickets[..] else {
        panic!("one ticket")
    };
    // Lifetime 30 s; the ticket is followed by the extension early_data, 8 bytes.
    assert_eq!((ticket.len(), &ticket[..4]), (201, &[0, 0, 0, 30][..]));
    assert_eq!(ticket[193..], [0, 42, 0, 4, 0, 0, 4, 0]);
    // The same message is the server's first record.
    let message = [&[4, 0, 0, 201], &ticket[..]].concat();
    assert_eq!(forge(&mut server, 22, &message, 0), bytes(TICKET_RECORD));

    assert_eq!(data(&mut client, &content), bytes(CLIENT_DATA));
    assert_eq!(hear(&mut server, &bytes(CLIENT_DATA)).plain, content);
    assert_eq!(data(&mut server, &content), bytes(SERVER_DATA));
    assert_eq!(hear(&mut client, &bytes(SERVER_DATA)).plain, content);

    let mut out = Vec::new();
    client.close(&mut out);
    assert_eq!(out, bytes(CLIENT_GOODBYE));
    assert_eq!(hear(&mut server, &out).stand, Stand::Ended);
    out.clear();
    server.close(&mut out);
    assert_eq!(out, bytes(SERVER_GOODBYE));
    assert_eq!(hear(&mut client, &out).stand, Stand::Ended);
}

#[test]
fn keys_follow_from_secrets_and_secrets_from_secrets() {
    let client = end(Role::Client);
    let sixteen = |half: &Half| (HEXLOWER.encode(&half.key[..16]), HEXLOWER.encode(&half.iv));
    let want = |key: &str, iv: &str| (key.to_owned(), iv.to_owned());
    let (key, iv) = (
        "17422dda596ed5d9acd890e3c63f5051",
        "5b78923dee08579033e523d9",
    );
    assert_eq!(sixteen(&client.tx), want(key, iv));
    let (key, iv) = (
        "9f02283b6c9c07efc26bb9f2ac92e356",
        "cf782b88dd83549aadf1e984",
    );
    assert_eq!(sixteen(&client.rx), want(key, iv));
    for (mut half, next) in [
        (
            end(Role::Client),
            "fcdfcc72725aaee48bf64e4fd8b749cdbdbab39d90da0b26e2245ca6ea167207",
        ),
        (
            end(Role::Server),
            "51921b8aa3001976eb401d0a4319a8516416a6c56001a357e5d162031e84f916",
        ),
    ] {
        half.tx.sequence = 9;
        half.tx.update(TLS13);
        assert_eq!(half.tx.secret.0[..32], bytes(next));
        assert_eq!(half.tx.sequence, 0);
    }
}
