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
type Fields = (Vec<u8>, Vec<u8>, Vec<Vec<u8>>, Vec<u8>, u8);

fn read(codec: &Codec, text: &[u8]) -> Result<Fields, BadToken> {
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
    let fields = (
        subscriber.user.to_vec(),
        subscriber.realm.to_vec(),
        edges,
        subscriber.instance.to_vec(),
        0,
    );
    assert_eq!(read(&clear(), &out), Ok(fields));
    assert_eq!(UserPartKind::of(&out), UserPartKind::Clear);
}

#[test]
fn clear_tokens_can_be_read_by_anybody() {
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
    assert_eq!(UserPartKind::of(&token), UserPartKind::Sealed);
    let edges = vec![b"e1".to_vec(), b"e3".to_vec()];
    let fields = (
        JOE.user.to_vec(),
        JOE.realm.to_vec(),
        edges,
        JOE.instance.to_vec(),
        0,
    );
    assert_eq!(read(&there, &token), Ok(fields));
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
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    assert!(token.iter().all(is_letter));
    assert_eq!(memchr::memmem::find(&token, b"alexander"), None);
}

#[test]
fn a_sealed_token_is_short() {
    // Twice in every call; the longest that is good for is 90.
    let codec = Codec::new(&[[1; 64]], "example.com");
    let len = |user: &str, instance: &str, edges: &[&[u8]]| {
        let subscriber = Subscriber {
            user: user.as_bytes(),
            realm: b"example.com",
            instance: instance.as_bytes(),
        };
        text(&codec, &subscriber, edges).len()
    };
    let uuid = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let sites: &[&[u8]] = &[b"fra-edge-1", b"ham-edge-2"];
    for (user, instance, edges, want) in [
        ("joe", uuid, PAIR, 53),
        (
            "joe",
            &uuid.to_ascii_uppercase().replace("URN:UUID", "urn:uuid"),
            PAIR,
            53,
        ),
        ("joe", "c-0123456789abcdef", PAIR, 43),
        ("491701234567890", uuid, PAIR, 60),
        ("+491701234567890", uuid, PAIR, 60),
        ("491701234567890", uuid, sites, 81),
        ("alexander.bell", uuid, PAIR, 68),
    ] {
        assert_eq!(len(user, instance, edges), want, "{user} {instance}");
        assert!(want <= 90);
    }
}

#[test]
fn what_is_packed_reads_back_as_it_was() {
    let codec = Codec::new(&[[1; 64]], "example.com");
    let uuid = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let instances = [
        uuid.to_owned(),
        uuid.replace("f81d4fae", "00000000"),
        uuid.to_ascii_uppercase().replace("URN:UUID", "urn:uuid"),
        // Neither, so as they stand.
        uuid.to_ascii_uppercase(),
        uuid.replace('f', "F"),
        uuid.replace("f8", "F8"),
        uuid.replace("4fae-7", "4fae_7"),
        uuid.replace("6bf6", "6bf"),
        uuid.replace("6bf6", "6bf66"),
        uuid.replace("f8", "g8"),
        "c-0123456789abcdef".to_owned(),
        "c-0123456789ABCDEF".to_owned(),
        "c-0123456789abcde".to_owned(),
        "c-0123456789abcdef0".to_owned(),
        "c-".to_owned(),
        String::new(),
    ];
    let digits = "12345678901234567890123456789012345678901234567890";
    let users = [
        "",
        "joe",
        "1",
        "12",
        "+4930",
        "+49-30.1_2*3",
        "0",
        "00",
        "+",
        "1a",
        "a1",
        "12%23",
        digits,
    ];
    for instance in &instances {
        for user in users {
            for realm in ["example.com", "example.org", ""] {
                let subscriber = Subscriber {
                    user: user.as_bytes(),
                    realm: realm.as_bytes(),
                    instance: instance.as_bytes(),
                };
                let mut token = Token::new();
                codec
                    .read(&text(&codec, &subscriber, PAIR), &mut token)
                    .unwrap();
                assert_eq!(token.subscriber(), subscriber, "{user} {realm} {instance}");
                assert!(token.edges().eq(PAIR.iter().copied()));
            }
        }
    }
    let longest = vec![b'7'; TOKEN_FIELD_MAX];
    let subscriber = Subscriber {
        user: &longest,
        ..JOE
    };
    assert!(
        matches!(read(&codec, &text(&codec, &subscriber, PAIR)), Ok((user, ..)) if user == longest)
    );
}

#[test]
fn flags_are_of_two_bits() {
    let codec = sealed(&[[1; 64]]);
    for flags in 0..=u8::MAX {
        let mut out = Vec::new();
        let written = codec.write(&JOE, PAIR, flags, &mut out);
        if flags < 4 {
            assert!(matches!(read(&codec, &out), Ok((.., fields)) if fields == flags));
        } else {
            assert_eq!((written, &out[..]), (Err(Unfit), &b""[..]));
        }
    }
}

#[test]
fn the_form_before_this_one_is_read() {
    // A phone keeps its token while it is registered and while a call lasts, and its
    // edge is upgraded meanwhile. Computed with other programs.
    let before = b"s27jbt9fj79o82mph7rnavapf5qr5jb5gu8oci6kea10glie1dchojeba5mihnthkg8u0v8drpvhmhojf7a0dmbho0k1bnde11ne66hr6702b1se99md3a4cee8g0pg443ukvpop37o";
    let now = b"tPASvJNkyyxhr4c2FhKLDiiTHKm9GHdBp6P4EvyYJC1Ab_9nXsKnI1oK8s2RvTEw6ZDl7";
    let codec = sealed(&[[1; 64]]);
    assert_eq!(read(&codec, before), read(&codec, now));
    assert_eq!(text(&codec, &JOE, PAIR), now);
    assert_eq!(UserPartKind::of(before), UserPartKind::Sealed);
    assert!(codec.writes_like(now) && !codec.writes_like(before));
    for index in 0..before.len() {
        let mut bent = before.to_vec();
        bent[index] = if bent[index] == b'q' { b'r' } else { b'q' };
        let found = read(&codec, &bent);
        assert!(found.is_err(), "{index}: {found:?}");
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    // O-5
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    for bit in 0..token.len() * 8 {
        let mut bent = token.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let found = read(&codec, &bent);
        assert!(found.is_err(), "bit {bit}: {found:?}");
    }
}

#[test]
fn any_flipped_bit_of_the_sealed_bytes_is_forged() {
    // O-5
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    let mut room = [0; spelling::BYTES_MAX];
    let bytes = spelling::unbase64(&token[1..], &mut room).unwrap().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut bent = b"t".to_vec();
        bent.extend_from_slice(&bytes);
        bent[1 + bit / 8] ^= 1 << (bit % 8);
        spelling::base64_tail(&mut bent, 1);
        let want = match bit / 8 {
            0 => BadToken::UnknownKey,
            _ => BadToken::Forged,
        };
        assert_eq!(read(&codec, &bent), Err(want), "bit {bit}");
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
    // B-7
    let codec = sealed(&[[1; 64]]);
    let token = text(&codec, &JOE, PAIR);
    let escaped: Vec<u8> = token
        .iter()
        .flat_map(|byte| format!("%{byte:02x}").into_bytes())
        .collect();
    assert_eq!(read(&codec, &escaped), read(&codec, &token));
    assert_eq!(UserPartKind::of(&escaped), UserPartKind::Sealed);
    for bent in [token.to_ascii_uppercase(), token.to_ascii_lowercase()] {
        let found = read(&codec, &bent);
        assert!(found.is_err(), "{found:?}");
    }
    let last = token.iter().rposition(u8::is_ascii_lowercase).unwrap();
    let mut one = token;
    one[last] = one[last].to_ascii_uppercase();
    let found = read(&codec, &one);
    assert!(found.is_err(), "{found:?}");
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
    assert_eq!(UserPartKind::of(b"s+e1+i1"), UserPartKind::Clear);
    assert_eq!(UserPartKind::of(b""), UserPartKind::Foreign);
    assert_eq!(UserPartKind::of(b"joe"), UserPartKind::Foreign);
    assert_eq!(
        UserPartKind::of(b"%66abcdefghijklmnopqrstuvwxyz"),
        UserPartKind::Flow
    );
    assert_eq!(UserPartKind::of(b"fred"), UserPartKind::Foreign);
    assert_eq!(UserPartKind::of(b"sue"), UserPartKind::Foreign);
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
