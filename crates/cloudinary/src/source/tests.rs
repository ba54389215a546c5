use futures_util::TryStreamExt;

use super::*;

/// A file of that length, and its bytes.
fn file(folder: &Path, bytes: u64) -> (PathBuf, Vec<u8>) {
    let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect();
    let path = folder.join(bytes.to_string());
    std::fs::write(&path, &content).unwrap();
    (path, content)
}

async fn source(path: &Path, content: &[u8]) -> Source {
    let checksum = Checksum::Crc32(crc32fast::hash(content));
    Source::new(path, content.len() as u64, &checksum).await.unwrap()
}

async fn pieces(source: &Source, chunk: Chunk) -> Vec<Bytes> {
    source.read(chunk).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test]
async fn a_small_file_is_one_piece_and_a_large_one_many() {
    let folder = tempfile::tempdir().unwrap();
    let (small, piece) = (SMALL as usize, PIECE as usize);
    for (bytes, lengths) in [(0, &[0][..]), (1, &[1]), (SMALL, &[small]), (SMALL + 1, &[piece, piece, piece, piece, 1])]
    {
        let (path, content) = file(folder.path(), bytes);
        let source = source(&path, &content).await;
        let whole = pieces(&source, Chunk { first: 0, length: bytes }).await;
        assert_eq!(whole.iter().map(Bytes::len).collect::<Vec<_>>(), lengths, "{bytes}");
        assert!(whole.concat() == content, "{bytes}");
        let (first, end) = (bytes / 3, bytes - bytes / 4);
        let part = pieces(&source, Chunk { first, length: end - first }).await;
        assert!(part.concat() == content[first as usize..end as usize], "{bytes}");
    }
}

#[tokio::test]
async fn a_small_file_is_not_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = file(folder.path(), 5_000);
    let source = source(&path, &content).await;
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(pieces(&source, Chunk { first: 0, length: 5_000 }).await, std::slice::from_ref(&content));
    }
}

#[tokio::test]
async fn a_large_file_that_goes_between_two_chunks_or_becomes_shorter_in_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = 3 * SMALL;
    let (path, content) = file(folder.path(), bytes);
    let source = source(&path, &content).await;
    let whole = Chunk { first: 0, length: bytes };
    let reading = source.read(whole).await.unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(SMALL).unwrap();
    let read: Result<Vec<Bytes>, _> = reading.try_collect().await;
    let Err(Unread::File(cause)) = read else { panic!("{read:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::UnexpectedEof);
    assert!(matches!(source.read(whole).await, Err(Error::FileChanged { found: SMALL, .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(source.read(whole).await, Err(Error::File { .. })));
}

#[tokio::test]
async fn the_md5_is_known_whatever_part_was_read() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [0, 5_000, 3 * SMALL + 1] {
        let (path, content) = file(folder.path(), bytes);
        let expected = Sums::of(&content).md5();
        let untouched = source(&path, &content).await;
        assert_eq!(untouched.md5().await.unwrap(), expected, "{bytes}");
        // The last part alone, and then one that was read before.
        let resumed = source(&path, &content).await;
        for first in [bytes * 2 / 3, bytes / 3] {
            let part = pieces(&resumed, Chunk { first, length: bytes - first }).await;
            assert!(part.concat() == content[first as usize..], "{bytes}");
        }
        // What was read is not read again.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(resumed.md5().await.unwrap(), expected, "{bytes}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_noticed_before_its_last_byte_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [5_000, 3 * SMALL] {
        let (path, mut content) = file(folder.path(), bytes);
        let checksum = Checksum::Crc32(crc32fast::hash(&content));
        content[1_000] ^= 1;
        std::fs::write(&path, &content).unwrap();
        let source = match Source::new(&path, bytes, &checksum).await {
            Err(Error::FileDamaged { .. }) if bytes <= SMALL => continue,
            opened => opened.unwrap(),
        };
        for first in [0, 2 * SMALL] {
            let chunk = Chunk { first, length: bytes - first };
            let read: Result<Vec<Bytes>, _> = source.read(chunk).await.unwrap().try_collect().await;
            assert!(matches!(read, Err(Unread::Damaged)), "from {first}");
        }
        assert!(matches!(source.md5().await, Err(Error::FileDamaged { .. })));
    }
}
