#![expect(clippy::cast_possible_truncation, reason = "sizes of tests are small")]

use proptest::prelude::*;

use super::*;

/// A tree of records of 24 bits with no data behind it but one empty map.
fn tree(nodes: &[[u32; 2]], v6: bool) -> Result<(Trie, Vec<Facts>), TreeError> {
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        file.extend(&record.to_be_bytes()[1..]);
    }
    file.extend([0; SEPARATOR]);
    file.push(0xe0);
    let nodes = nodes.len() as u32;
    read(
        &file,
        Shape {
            nodes,
            record_bits: 24,
            v6,
        },
    )
}

#[test]
fn a_node_with_two_parents_is_refused_and_not_walked_twice() {
    // 100 nodes, each both children of the one before: 2^100 paths.
    let doubling: Vec<_> = (1..=100).map(|next| [next, next]).collect();
    assert_eq!(tree(&doubling, true).unwrap_err(), TreeError::NotATree(99));
}

#[test]
fn cycles_are_refused() {
    for v6 in [false, true] {
        assert_eq!(tree(&[[0, 0]], v6).unwrap_err(), TreeError::NotATree(0));
        let loops = [[1, 2], [0, 2]];
        assert!(matches!(tree(&loops, v6), Err(TreeError::NotATree(_))));
    }
}

#[test]
fn a_tree_that_is_deeper_than_an_address_is_refused() {
    let chain = |len: u32| {
        (1..=len)
            .map(|next| [next.min(len), len])
            .collect::<Vec<_>>()
    };
    assert!(tree(&chain(32), false).is_ok());
    assert_eq!(tree(&chain(33), false).unwrap_err(), TreeError::TooDeep);
    assert!(tree(&chain(128), true).is_ok());
    assert_eq!(tree(&chain(129), true).unwrap_err(), TreeError::TooDeep);
}

#[test]
fn leaves_must_point_into_the_data() {
    // With one node, 1 is nothing, up to 16 is the separator, and 17 the first record.
    assert!(tree(&[[1, 17]], false).is_ok());
    assert_eq!(tree(&[[1, 2]], false).unwrap_err(), TreeError::NoRecord);
    let behind = TreeError::Record(RecordError::CutOff);
    assert_eq!(tree(&[[1, 18]], false).unwrap_err(), behind);
}

#[test]
fn a_tree_that_is_longer_than_its_file_is_refused() {
    for (nodes, record_bits) in [(2, 24), (u32::MAX, 32)] {
        let shape = Shape {
            nodes,
            record_bits,
            v6: false,
        };
        assert_eq!(read(&[0; 20], shape).unwrap_err(), TreeError::CutOff);
    }
}

proptest! {
    #[test]
    fn junk_never_panics(
        file in prop::collection::vec(0..8_u8, 0..400),
        nodes in 0..40_u32, record_bits in prop::sample::select(vec![24, 28, 32]), v6: bool,
    ) {
        let _either = read(&file, Shape { nodes, record_bits, v6 });
    }
}
