//! The tables in docs/configuration.md are what the programs print for `--help`.
//!
//! To write them anew: `STEEP_WRITE_DOCS=1 cargo xtask test settings_in_the_page`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use testkit::process::program;
use testkit::tools;

const PROGRAMS: [&str; 3] = ["api", "worker", "cloudinary-local"];

/// One option, as `--help` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Setting {
    /// `--lease <TIME>` without its value.
    flag: String,
    variable: Option<String>,
    default: Option<String>,
    meaning: String,
    choices: Vec<String>,
}

impl Setting {
    fn row(&self) -> String {
        let derived = self.variable.as_ref().map(|variable| format!("--{}", variable.to_lowercase().replace('_', "-")));
        let name = match &self.variable {
            Some(variable) if derived.as_ref() == Some(&self.flag) => format!("`{variable}`"),
            Some(variable) => format!("`{variable}`, `{}`", self.flag),
            None => format!("`{}`", self.flag),
        };
        let default = self.default.as_ref().map(|default| format!(" `{default}`")).unwrap_or_default();
        let mut meaning = self.meaning.replace('|', "\\|");
        if !self.choices.is_empty() {
            let choices: Vec<String> = self.choices.iter().map(|choice| format!("`{choice}`")).collect();
            let _ = write!(meaning, ": {}", choices.join(", "));
        }
        format!("{name} |{default} | {meaning}\n")
    }
}

/// The options in what a program prints for `--help`, but for help and version.
fn settings(help: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let (mut is_option, mut lists_choices) = (false, false);
    for line in help.lines() {
        let text = line.trim();
        if line.starts_with("  ") && text.starts_with('-') && !line.starts_with("          ") {
            let flag = text.split_whitespace().find(|word| word.starts_with("--")).expect("a long flag");
            settings.push(Setting { flag: flag.to_owned(), ..Setting::default() });
            (is_option, lists_choices) = (true, false);
            continue;
        }
        // Below the options there may be other text, under a heading of its own.
        is_option &= line.is_empty() || line.starts_with(' ');
        let Some(setting) = settings.last_mut().filter(|_| is_option && line.starts_with("          ")) else {
            continue;
        };
        if let Some(variable) = inside(text, "[env: ") {
            setting.variable = Some(variable.trim_end_matches('=').to_owned());
        } else if let Some(default) = inside(text, "[default: ") {
            setting.default = Some(default.to_owned());
        } else if let Some(choices) = inside(text, "[possible values: ") {
            setting.choices = choices.split(", ").map(str::to_owned).collect();
        } else if text == "Possible values:" {
            lists_choices = true;
        } else if lists_choices {
            let choice = text.trim_start_matches("- ").split(':').next().unwrap_or_default();
            setting.choices.extend(Some(choice.to_owned()).filter(|choice| !choice.is_empty()));
        } else if !text.is_empty() {
            let blank = if setting.meaning.is_empty() { "" } else { " " };
            let _ = write!(setting.meaning, "{blank}{text}");
        }
    }
    settings.retain(|setting| !matches!(setting.flag.as_str(), "--help" | "--version"));
    settings
}

fn inside<'text>(text: &'text str, opening: &str) -> Option<&'text str> {
    text.strip_prefix(opening)?.strip_suffix(']')
}

/// The tables by the names that the page has for them. What several programs read alike is told once.
fn tables() -> Vec<(&'static str, Vec<Setting>)> {
    let [api, worker, media_host] = PROGRAMS.map(|name| {
        // Otherwise a developer's environment would be in the help.
        let help = tools::run(Command::new(program(name).expect("a program")).arg("--help").env_clear());
        settings(&help.unwrap_or_else(|said| panic!("{said}")))
    });
    let both: Vec<Setting> = api.iter().filter(|setting| worker.contains(setting)).cloned().collect();
    let all: Vec<Setting> = both.iter().filter(|setting| media_host.contains(setting)).cloned().collect();
    let without = |settings: Vec<Setting>, shared: &[Setting]| {
        settings.into_iter().filter(|setting| !shared.contains(setting)).collect::<Vec<_>>()
    };
    vec![
        ("api", without(api, &both)),
        ("worker", without(worker, &both)),
        ("cloudinary-local", without(media_host, &all)),
        ("api and worker", without(both, &all)),
        ("all programs", all),
    ]
}

#[test]
fn the_settings_in_the_page_are_those_of_the_programs() {
    let path = tools::workspace().join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let mut expected = page.clone();
    let mut names = BTreeSet::new();
    for (name, settings) in tables() {
        let (opening, closing) = (format!("<!-- settings: {name} -->\n"), "<!-- end -->");
        let start = expected.find(&opening).unwrap_or_else(|| panic!("the page has no table {name}")) + opening.len();
        let length = expected[start..].find(closing).expect("the table ends");
        let rows: String = settings.iter().map(Setting::row).collect();
        expected.replace_range(start..start + length, &format!("setting | default | meaning\n---|---|---\n{rows}\n"));
        names.insert(name);
    }
    assert_eq!(page.matches("<!-- settings: ").count(), names.len(), "every table has its settings");
    if std::env::var_os("STEEP_WRITE_DOCS").is_some() {
        return std::fs::write(&path, expected).expect("the page is written");
    }
    let differs = expected.lines().zip(page.lines()).find(|(expected, page)| expected != page);
    assert!(
        expected == page,
        "docs/configuration.md differs from --help, first in {differs:?}; STEEP_WRITE_DOCS=1 with this test writes it anew"
    );
}

#[test]
fn help_is_read_as_clap_writes_it() {
    let help = "\
Does things.

Options:
  -q, --quiet
          Says less

      --same-site <SITE>
          When cookies are sent; none requires https

          Possible values:
          - lax:  With some
          - none: With all
          
          [env: COOKIE_SAME_SITE=]
          [default: lax]

  -h, --help
          Print help

Log:
      --log <FILTER>
          What to log
          
          [env: LOG]

Notes:
          Not an option.
";
    let [quiet, site, log] = &settings(help)[..] else { panic!("three settings") };
    assert_eq!(quiet.row(), "`--quiet` | | Says less\n");
    assert_eq!(
        site.row(),
        "`COOKIE_SAME_SITE`, `--same-site` | `lax` | When cookies are sent; none requires https: `lax`, `none`\n"
    );
    assert_eq!(log.row(), "`LOG` | | What to log\n");
}
