use super::*;

const JOE: Subscriber<'_> = Subscriber {
    user: b"joe",
    realm: b"example.com",
    instance: b"urn:uuid:00000000-0000-1000-8000-000a95a0e128",
};
const PAIR: &[&[u8]] = &[b"e1", b"e3"];

fn sealed(keys: &[[u8; 64]]) -> Codec {
    Codec::new(keys, "")
}

fn clear() -> Codec {
    Codec::new(&[], "example.com")
}

fn text(codec: &Codec, subscriber: &Subscriber<'_>, edges: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    codec.write(subscriber, edges, 0, &mut out).unwrap();
    out
}

/// User, realm, edges, instance and flags.
type Said = (Vec<u8>, Vec<u8>, Vec<Vec<u8>>, Vec<u8>, u8);

fn read(codec: &Codec, text: &[u8]) -> Result<Said, BadToken> {
    let mut token = Token::new();
    codec.read(text, &mut token)?;
    let edges = token.edges().map(<[u8]>::to_vec).collect();
    let Subscriber {
        user,
        realm,
        instance,
    } = token.subscriber();
    assert_eq!(token.is_anonymous(), user.is_empty());
    Ok((
        user.to_vec(),
        realm.to_vec(),
        edges,
        instance.to_vec(),
        token.flags(),
    ))
}

#[track_caller]
fn check_clear(subscriber: Subscriber<'_>, edges: &[&[u8]], want: &[u8]) {
    let out = text(&clear(), &subscriber, edges);
    assert_eq!(
        out.escape_ascii().to_string(),
        want.escape_ascii().to_string()
    );
    let edges = edges.iter().map(|edge| edge.to_vec()).collect();
    let said = (
        subscriber.user.to_vec(),
        subscriber.realm.to_vec(),
        edges,
        subscriber.instance.to_vec(),
        0,
    );
    assert_eq!(read(&clear(), &out), Ok(said));
    assert_eq!(Kind::of(&out), Kind::Clear);
}

#[test]
fn clear_tokens_look_as_on_the_slides() {
    // D-E6, D-E7: the set travels in the token; it may be any one.
    check_clear(
        Subscriber {
            instance: b"i1",
            ..JOE
        },
        PAIR,
        b"joe+e1+e3+i1",
    );
    check_clear(
        Subscriber {
            instance: b"urn:i",
            ..JOE
        },
        &[b"e1"],
        b"joe+e1+urn_3Ai",
    );
    check_clear(
        Subscriber {
            user: b"+49_30@x",
            instance: b"",
            ..JOE
        },
        &[b"e.1", b"e-2", b"e3", b"e4"],
        b"_2B49_5F30_40x_40example.com+e.1+e-2+e3+e4+",
    );
    // The domain is left out where it goes without saying, and nowhere else.
    check_clear(
        Subscriber {
            realm: b"example.org",
            instance: b"i1",
            ..JOE
        },
        PAIR,
        b"joe_40example.org+e1+e3+i1",
    );
    // A To without a user: nobody's.
    check_clear(
        Subscriber {
            user: b"",
            instance: b"i1",
            ..JOE
        },
        PAIR,
        b"+e1+e3+i1",
    );
}

#[test]
fn clear_tokens_have_one_spelling() {
    for text in [
        &b""[..],
        b"joe",
        b"joe+e1",
        b"joe++i1",
        b"joe+e1++i1",
        b"joe+1+2+3+4+5+i1",
        b"joe+e1+urn_3ai",
        b"j_6Fe+e1+i1",
        b"joe+e1+urn:i",
        b"joe%2Be1+e3+i1",
        b"joe_40example.com+e1+i1",
    ] {
        assert_eq!(
            read(&clear(), text),
            Err(BadToken::Malformed),
            "{}",
            text.escape_ascii()
        );
    }
    let plain = read(&clear(), b"joe+e1+urn_3Ai");
    assert_eq!(read(&clear(), b"%6Aoe+e1+urn%5f3Ai"), plain);
    assert!(matches!(plain, Ok((user, ..)) if user == b"joe"));
}

#[test]
fn every_edge_mints_the_same_bytes() {
    // H-3: two codecs, two processes, one token.
    let (here, there) = (sealed(&[[1; 64]]), sealed(&[[1; 64], [2; 64]]));
    let token = text(&here, &JOE, PAIR);
    assert_eq!(token, text(&there, &JOE, PAIR));
    assert_eq!(Kind::of(&token), Kind::Sealed);
    let edges = vec![b"e1".to_vec(), b"e3".to_vec()];
    let said = (
        JOE.user.to_vec(),
        JOE.realm.to_vec(),
        edges,
        JOE.instance.to_vec(),
        0,
    );
    assert_eq!(read(&there, &token), Ok(said));
}

#[test]
fn a_sealed_token_differs_when_anything_in_it_differs() {
    let codec = sealed(&[[1; 64]]);
    let mut seen = vec![
        text(&codec, &JOE, PAIR),
        text(&codec, &JOE, &[b"e3", b"e1"]),
        text(&codec, &JOE, &[b"e1e3"]),
        text(&codec, &Subscriber { user: b"jo", ..JOE }, PAIR),
        text(
            &codec,
            &Subscriber {
                user: b"joeexample.com",
                realm: b"",
                ..JOE
            },
            PAIR,
        ),
        text(
            &codec,
            &Subscriber {
                instance: b"i",
                ..JOE
            },
            PAIR,
        ),
        text(&sealed(&[[2; 64]]), &JOE, PAIR),
    ];
    let mut flagged = Vec::new();
    codec.write(&JOE, PAIR, 1, &mut flagged).unwrap();
    assert!(matches!(read(&codec, &flagged), Ok((.., 1))));
    seen.push(flagged);
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all);
}

#[test]
fn a_sealed_token_shows_neither_user_nor_edges() {
    // H-2: the far end reads letters and digits that mean nothing to it.
    let token = text(
        &sealed(&[[1; 64]]),
        &Subscriber {
            user: b"alexander",
            ..JOE
        },
        PAIR,
    );
    assert!(
        token
            .iter()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'v').contains(byte))
    );
    assert_eq!(memchr::memmem::find(&token, b"alexander"), None);
    assert!(token.len() <= 160, "{}", token.len());
}

#[test]
fn any_flipped_bit_is_refused() {
    // O-5
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    for bit in 0..token.len() * 8 {
        let mut bent = token.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let want = match bit / 8 {
            0 => BadToken::Malformed,
            1 | 2 if bent[bit / 8].is_ascii_hexdigit() && !bent[bit / 8].is_ascii_uppercase() => {
                BadToken::UnknownKey
            }
            1 | 2 => BadToken::Malformed,
            _ => match read(&codec, &bent) {
                Err(found @ (BadToken::Forged | BadToken::Malformed)) => found,
                found => panic!("bit {bit}: {found:?}"),
            },
        };
        assert_eq!(read(&codec, &bent), Err(want), "bit {bit}");
    }
}

#[test]
fn any_flipped_bit_of_the_sealed_bytes_is_forged() {
    // O-5
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    let mut room = [0; spelling::BYTES_MAX];
    let bytes = spelling::unbase32(&token[3..], &mut room).unwrap().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut bent = token[..3].to_vec();
        bent.extend_from_slice(&bytes);
        bent[3 + bit / 8] ^= 1 << (bit % 8);
        spelling::base32_tail(&mut bent, 3);
        assert_eq!(read(&codec, &bent), Err(BadToken::Forged), "bit {bit}");
    }
}

#[test]
fn the_old_key_reads_for_as_long_as_it_is_live() {
    let old = text(&sealed(&[[1; 64]]), &JOE, PAIR);
    let (during, after) = (sealed(&[[2; 64], [1; 64]]), sealed(&[[2; 64]]));
    assert!(matches!(read(&during, &old), Ok((user, ..)) if user == b"joe"));
    assert_eq!(text(&during, &JOE, PAIR), text(&after, &JOE, PAIR));
    assert_eq!(read(&after, &old), Err(BadToken::UnknownKey));
    assert_eq!(BadToken::UnknownKey.answer(), (403, "Forbidden"));
}

#[test]
fn escapes_pass_and_changed_case_does_not() {
    // protocol 3.28
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    let escaped: Vec<u8> = token
        .iter()
        .flat_map(|byte| format!("%{byte:02x}").into_bytes())
        .collect();
    assert_eq!(read(&codec, &escaped), read(&codec, &token));
    assert_eq!(Kind::of(&escaped), Kind::Sealed);
    assert_eq!(
        read(&codec, &token.to_ascii_uppercase()),
        Err(BadToken::Malformed)
    );
    let last = token.iter().rposition(u8::is_ascii_lowercase).unwrap();
    let mut one = token;
    one[last] = one[last].to_ascii_uppercase();
    assert_eq!(read(&codec, &one), Err(BadToken::Malformed));
}

#[test]
fn the_modes_do_not_read_one_another() {
    let codec = sealed(&[[1; 64]]);
    assert_eq!(
        read(&clear(), &text(&codec, &JOE, PAIR)),
        Err(BadToken::Malformed)
    );
    assert_eq!(
        read(&codec, &text(&clear(), &JOE, PAIR)),
        Err(BadToken::Malformed)
    );
    assert_eq!(Kind::of(b"s+e1+i1"), Kind::Clear);
    assert_eq!(Kind::of(b""), Kind::Foreign);
    assert_eq!(Kind::of(b"joe"), Kind::Foreign);
    assert_eq!(Kind::of(b"%66abcdefghijklmnopqrstuvwxyz"), Kind::Flow);
    assert_eq!(Kind::of(b"fred"), Kind::Foreign);
    assert_eq!(Kind::of(b"sue"), Kind::Foreign);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let long = [b'x'; TOKEN_FIELD_MAX + 1];
    let odd = [b':'; TOKEN_FIELD_MAX];
    for codec in [clear(), sealed(&[[1; 64]])] {
        let mut out = b"sip:".to_vec();
        for (subscriber, edges) in [
            (JOE, &[][..]),
            (JOE, &[&b"a"[..], b"b", b"c", b"d", b"e"][..]),
            (JOE, &[&b""[..]][..]),
            (JOE, &[&long[..]][..]),
            (Subscriber { user: &long, ..JOE }, PAIR),
            (
                Subscriber {
                    realm: &long,
                    ..JOE
                },
                PAIR,
            ),
            (
                Subscriber {
                    user: &odd,
                    instance: &odd,
                    ..JOE
                },
                PAIR,
            ),
        ] {
            assert_eq!(codec.write(&subscriber, edges, 0, &mut out), Err(Unfit));
            assert_eq!(out, b"sip:");
        }
    }
}

#[test]
fn every_length_that_fits_reads_back() {
    let long = [b'x'; TOKEN_FIELD_MAX];
    for codec in [clear(), sealed(&[[1; 64]])] {
        for len in 0..=TOKEN_FIELD_MAX {
            let instance = &long[..len];
            let out = text(&codec, &Subscriber { instance, ..JOE }, PAIR);
            assert!(matches!(read(&codec, &out), Ok((_, _, _, read, _)) if read == instance));
        }
    }
}

#[test]
fn a_refused_token_leaves_nothing_of_the_one_before() {
    let mut token = Token::new();
    clear().read(b"joe+e1+i1", &mut token).unwrap();
    assert_eq!(
        clear().read(b"ann+e3+i:2", &mut token),
        Err(BadToken::Malformed)
    );
    assert_eq!(token.subscriber(), Subscriber::default());
    assert_eq!(token.edges().count(), 0);
}
