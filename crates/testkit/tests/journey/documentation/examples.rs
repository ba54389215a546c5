//! The examples of docs/api.md, run in their order in one shell.

use std::process::Command;

use testkit::{TestEnv, secrets, tools};

use crate::support::{api, worker};

/// Where the page says that the API is.
const WRITTEN: &str = "http://localhost:8000";
/// A line between the outputs of two examples.
const NEXT: &str = "-- the next example --";

/// Commands, and what the page says that they print.
struct Example {
    commands: String,
    prints: String,
}

/// The examples of a page: each block of `sh`, with the block that follows it. Other blocks show what no example prints.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut blocks = page.split("\n```");
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        let (language, content) = block.split_once('\n').expect("a block with a first line");
        match language {
            "sh" => examples.push(Example { commands: content.to_owned(), prints: String::new() }),
            _ => {
                if let Some(example) = examples.last_mut().filter(|example| example.prints.is_empty()) {
                    content.clone_into(&mut example.prints);
                }
            }
        }
    }
    examples
}

/// Whether something was printed as the page has it: blanks do not count, and `…` stands for anything.
fn is_printed(prints: &str, printed: &str) -> bool {
    let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
    let (pattern, printed) = (without_blanks(prints), without_blanks(printed));
    let mut pieces = pattern.split('…');
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
        last = Some(piece);
    }
    rest.is_empty() || last == Some("")
}

#[tokio::test]
async fn every_example_prints_what_the_page_says() {
    for tool in ["bash", "curl"] {
        if tools::run(Command::new(tool).arg("--version")).is_err() {
            return tools::skip(
                "the examples of docs/api.md were not tried",
                &format!("{tool} is not on this machine"),
            );
        }
    }
    let page = std::fs::read_to_string(tools::workspace().join("docs/api.md")).expect("the page");
    let env = TestEnv::start().await;
    let ((_api, client), _worker) = (api(&env, "api").await, worker(&env, "worker").await);
    // As the API writes its own address.
    let url = client.url().replace("127.0.0.1", "localhost");
    let examples = examples(&page.replace(WRITTEN, &url));
    assert!(examples.len() > 8, "{} examples", examples.len());

    let folder = env.folder().join("examples");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(tools::workspace().join("docs"), folder.join("docs")).expect("a link");
    let script: String =
        examples.iter().map(|example| format!("{}\necho; echo '{NEXT}'\n", example.commands)).collect();
    let mut bash = Command::new("bash");
    bash.current_dir(folder).args(["-euo", "pipefail", "-c", &script]).env("no_proxy", "localhost");
    let ran = tokio::task::spawn_blocking(move || tools::run(&mut bash)).await.expect("no panic");
    let output = ran.unwrap_or_else(|said| panic!("{said}"));

    // Signing in writes cookies and prints none of them.
    secrets::answered("the examples", 0, "", output.as_bytes());
    let outputs: Vec<&str> = output.split(NEXT).collect();
    for (example, printed) in examples.iter().zip(outputs) {
        let Example { commands, prints } = example;
        assert!(is_printed(prints, printed), "{commands}\nshould print\n{prints}\nand printed\n{printed}");
    }
    env.finish().await;
}

#[test]
fn an_output_that_differs_is_noticed() {
    assert!(is_printed("{\"a\": \"…\", \"b\": 1}\n", "{\"a\":\"xyz\",\"b\":1}"));
    assert!(is_printed("201 …", "201 whatever"));
    for (prints, printed) in [("201", "200"), ("201", "201 and more"), ("a … c", "a b"), ("a … c", "b c"), ("", "x")]
    {
        assert!(!is_printed(prints, printed), "{prints} is not {printed}");
    }
}
