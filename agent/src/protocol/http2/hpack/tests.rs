//! The RFC's examples, and what a listener who comes late may know.

use super::*;
use crate::protocol::http;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Invalid> {
    let mut lines = Vec::new();
    decoder.decode(block, true, |name, value| {
        lines.push(format!("{name:?}: {}", String::from_utf8_lossy(value)))
    })?;
    Ok(lines)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 7541, C.3 (plain) and C.4 (Huffman): three requests on one connection.
#[test]
fn requests() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(false);
        let mut lines = |block: &str| decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(
            lines(blocks[0]),
            ["Method: GET", "Scheme: http", "Path: /", "Authority: www.example.com"]
        );
        assert_eq!(
            lines(blocks[1]),
            ["Method: GET", "Scheme: http", "Path: /", "Authority: www.example.com", "Other: no-cache"]
        );
        assert_eq!(
            lines(blocks[2]),
            [
                "Method: GET",
                "Scheme: https",
                "Path: /index.html",
                "Authority: www.example.com",
                "Other: custom-value"
            ]
        );
        assert_eq!((decoder.table.len(), decoder.size), (3, 164));
    }
}

/// RFC 7541, C.6: responses that push each other out of a table of 256 bytes.
#[test]
fn eviction() {
    let mut decoder = Decoder::new(false);
    decoder.limit = 256;
    let mut lines = |block: &str| decode(&mut decoder, &hex(block)).unwrap();
    let first = lines(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
    );
    assert_eq!(first[0], "Status: 302");
    assert_eq!(lines("4883 640e ffc1 c0bf")[0], "Status: 307");
    assert_eq!(
        lines(
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07"
        )[0],
        "Status: 200"
    );
    assert_eq!((decoder.table.len(), decoder.size), (3, 215));
}

/// In the middle of a connection: what was added since is exact, what lies behind it is unknown, also as a name.
#[test]
fn late() {
    let mut decoder = Decoder::new(true);
    let mut lines = |block: &str| decode(&mut decoder, &hex(block)).unwrap();
    assert_eq!(lines("8286 bf be"), ["Method: GET", "Scheme: http", "Unknown: ", "Unknown: "]);
    // `:path: /sample/path` is added before them.
    assert_eq!(lines("040c 2f73 616d 706c 652f 7061 7468"), ["Path: /sample/path"]);
    assert_eq!(lines("440c 2f73 616d 706c 652f 7061 7468"), ["Path: /sample/path"]);
    assert_eq!(lines("bebf"), ["Path: /sample/path", "Unknown: "]);
    // A value whose name is not known.
    assert_eq!(lines("7f00 0161"), ["Unknown: a"]);
    assert_eq!(lines("bebfc0"), ["Unknown: ", "Path: /sample/path", "Unknown: "]);
    decoder.lose();
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap(), ["Unknown: "]);
    // No table is as long as that.
    assert_eq!(decode(&mut decoder, &hex("ffff ff7f")), Err(Invalid));
}

/// Of a block whose end is missing, the lines before; then the table is not known any more.
#[test]
fn cut() {
    let mut decoder = Decoder::new(false);
    let mut lines = Vec::new();
    let block = hex("8286 8441 0f77 7777");
    assert_eq!(decoder.decode(&block, false, |name, _| lines.push(name)), Ok(()));
    assert_eq!(lines, [Name::Method, Name::Scheme, Name::Path]);
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap(), ["Unknown: "]);
}

/// What RFC 7541 calls a decoding error.
#[test]
fn invalid() {
    for block in [
        "80",             // index 0
        "be",             // beyond the table
        "ffffffffffff0f", // an index of more than 32 bits
        "8220",           // a size update behind a line
        "400141016 1",    // a capital in a name
        "4000 0161",      // no name
        "0001 6181 00",   // padding that is not ones
        "0001 6184 ffff ffff",
        "41",
        "410f 7777",
    ] {
        let mut decoder = Decoder::new(false);
        assert_eq!(decode(&mut decoder, &hex(block)), Err(Invalid), "{block}");
    }
}

/// Size updates, and what a peer can make us keep.
#[test]
fn sizes() {
    let mut decoder = Decoder::new(false);
    assert_eq!(decode(&mut decoder, &hex("3fe1 1f 4103 616263")).unwrap(), ["Authority: abc"]);
    assert_eq!((decoder.limit, decoder.table.len()), (4096, 1));
    assert!(decode(&mut decoder, &hex("20")).unwrap().is_empty());
    assert_eq!((decoder.limit, decoder.table.len(), decoder.size), (0, 0, 0));
    assert_eq!(decode(&mut decoder, &hex("be")), Err(Invalid));
    // A size of 16 MB.
    let mut decoder = Decoder::new(false);
    decode(&mut decoder, &hex("3fe1 ffff 07")).unwrap();
    let mut block = vec![0x41, 0x7f, 0x81, 0x0f];
    block.extend([b'x'; 2048]);
    for _ in 0..200 {
        decode(&mut decoder, &block).unwrap();
    }
    assert!(decoder.size <= MOST && decoder.weight() < 2 * MOST, "{} {}", decoder.size, decoder.weight());
    assert_eq!(decode(&mut decoder, &hex("ff61")).unwrap(), ["Unknown: "], "older than what we keep");
}

/// Values are kept as far as they are of use, and secrets not at all.
#[test]
fn keeps_little() {
    let mut decoder = Decoder::new(false);
    decode(&mut decoder, &hex("6004 6162 6364 7a 03 6375 72")).unwrap();
    assert_eq!(decode(&mut decoder, &hex("be bf")).unwrap(), ["Common(UserAgent): cur", "Other: "]);
    // `authorization: Basic x`
    assert_eq!(
        decode(&mut decoder, &hex("5707 4261 7369 6320 78")).unwrap(),
        ["Common(Authorization): Basic x"]
    );
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap(), ["Common(Authorization): "]);
    assert_eq!(Name::of(b"user-agent"), Name::Common(http::Name::UserAgent));
}
