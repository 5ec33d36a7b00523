//! The house's rules, checked: who may import whom, which crates stay where, that nothing is left unregistered, and that generated docs are fresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use pgassay::rules::RULES;

/// Which of our modules each module may import. Only downwards: the order is that of the floors, lowest first.
const IMPORTS: &[(&str, &[&str])] = &[
    ("sql", &[]),
    ("plan", &[]),
    ("server", &[]),
    ("catalog", &["sql"]),
    ("workload", &["sql"]),
    ("finding", &["catalog", "plan", "sql", "workload"]),
    ("source", &["sql", "workload"]),
    ("advise", &["catalog", "plan", "sql", "workload"]),
    (
        "snapshot",
        &["advise", "catalog", "plan", "sql", "workload"],
    ),
    (
        "rules",
        &[
            "advise", "catalog", "finding", "plan", "snapshot", "sql", "workload",
        ],
    ),
    ("migration", &["catalog", "finding", "sql"]),
    ("report", &["catalog", "finding", "plan", "sql", "workload"]),
    ("db", &["advise", "catalog", "plan", "sql", "workload"]),
    (
        "twin",
        &[
            "advise", "catalog", "db", "plan", "server", "snapshot", "sql",
        ],
    ),
    (
        "demo",
        &["catalog", "db", "finding", "server", "sql", "workload"],
    ),
];

/// Modules that wire the others together, and may import anything.
const WIRING: &[&str] = &["app", "cli", "lib", "main"];

/// Crates that stay in the modules named.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlparser", &["sql"]),
    ("nix", &["server"]),
    ("comfy_table", &["report"]),
    ("tokio_postgres", &["db"]),
    ("deadpool", &["db"]),
    ("deadpool_postgres", &["db"]),
    ("rustls", &["db"]),
    ("tokio_rustls", &["db"]),
    ("clap", &["app", "cli", "main"]),
    ("indicatif", &["app"]),
];

/// Folders of files of one shape: each file is declared in `mod.rs`, and what it defines is listed there.
const REGISTRIES: &[(&str, &str)] = &[
    ("rules", "RULE"),
    ("migration", "FRAMEWORK"),
    ("report", "OUTPUT"),
    ("source", "FORMAT"),
];

/// A source file with its path below the repository's root.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// `rules` of `src/rules/x.rs`, `lib` of `src/lib.rs`.
    fn module(&self) -> String {
        let below = self.path.strip_prefix("src").unwrap();
        let first = below.components().next().unwrap().as_os_str();
        first.to_str().unwrap().trim_end_matches(".rs").to_owned()
    }

    /// Without comments, so that docs may mention what code may not use.
    fn code(&self) -> String {
        let lines = self.text.lines().map(|line| match line.find("//") {
            Some(at) if !line[..at].contains('"') => &line[..at],
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, sorted.
fn sources(folder: &str) -> Vec<Source> {
    let mut folders = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_path_buf();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Our modules that a text names behind `crate::`, also within braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => modules.extend(group_heads(group)),
            None => modules.extend(head(part)),
        }
    }
    modules
}

/// The first names of a group's members: `a::b, c::{d, e}}` gives `a` and `c`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 1;
    let mut member = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.extend(head(std::mem::take(&mut member).trim())),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if c != ',' || depth > 1 {
            member.push(c);
        }
    }
    heads.extend(head(member.trim()));
    heads
}

fn head(path: &str) -> Option<String> {
    let name: String = path
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn imports_are_read_as_written() {
    let code = "use crate::{advise::Advice, finding::{A, B}, sql};\nfn f(x: crate::plan::Plan) {}";
    let found: Vec<String> = imports(code).into_iter().collect();
    assert_eq!(found, ["advise", "finding", "plan", "sql"]);
}

#[test]
fn modules_import_only_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module();
        if WIRING.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!(
                "{}: {module} is not in the table",
                source.path.display()
            ));
            continue;
        };
        let own = |name: &String| *name == module || name == "self";
        let strays = imports(&source.code())
            .into_iter()
            .filter(|name| !own(name) && !allowed.contains(&name.as_str()));
        wrong.extend(strays.map(|name| format!("{} imports {name}", source.path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_no_circles() {
    let floor: BTreeMap<&str, usize> = IMPORTS
        .iter()
        .enumerate()
        .map(|(floor, (module, _))| (*module, floor))
        .collect();
    for (module, allowed) in IMPORTS {
        for lower in *allowed {
            assert!(
                floor[lower] < floor[module],
                "{module} stands below {lower}"
            );
        }
    }
}

#[test]
fn crates_stay_in_their_modules() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module();
        let code = source.code();
        for (name, modules) in CRATES {
            let used = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            });
            if used && !modules.contains(&module.as_str()) {
                wrong.push(format!("{} uses {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_responsible_for() {
    let silent: Vec<PathBuf> = sources("src")
        .into_iter()
        .chain(sources("tests"))
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "no //! in the first line: {silent:#?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources("src")
        .into_iter()
        .filter(|source| source.text.lines().count() > 800)
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(long.is_empty(), "over 800 lines: {long:#?}");
}

#[test]
fn every_leaf_is_registered() {
    let mut forgotten = Vec::new();
    for (folder, item) in REGISTRIES {
        let registry = fs::read_to_string(root().join("src").join(folder).join("mod.rs")).unwrap();
        for source in sources(&format!("src/{folder}")) {
            let depth = source.path.components().count();
            let stem = source.path.file_stem().unwrap().to_str().unwrap();
            if depth != 3 || stem == "mod" {
                continue;
            }
            if !registry.contains(&format!("mod {stem};")) {
                forgotten.push(format!("{} is not declared", source.path.display()));
            }
            let defines = source.text.contains(&format!("static {item}: "));
            if defines && !registry.contains(&format!("&{stem}::{item}")) {
                forgotten.push(format!("{stem}::{item} is not listed"));
            }
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}

#[test]
fn rule_ids_are_unique_sorted_and_those_of_their_files() {
    let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    let sorted: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids, sorted.into_iter().collect::<Vec<_>>());
    for id in ids {
        let file = root().join(format!("src/rules/{}.rs", id.replace('-', "_")));
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text.contains(&format!("id: \"{id}\"")),
            "{} does not define {id}",
            file.display()
        );
    }
}

#[test]
fn rule_docs_follow_the_outline() {
    for rule in RULES {
        for heading in ["why it matters", "how it decides", "when it is wrong"] {
            let docs = rule.docs.to_lowercase();
            assert!(
                docs.contains(heading),
                "{}: nothing about {heading:?}",
                rule.id
            );
        }
        assert!(
            rule.examples.len() >= 2,
            "{}: a bad and a good example are needed",
            rule.id
        );
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let folder = root().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    let forgotten: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|stem| stem != "main" && !main.contains(&format!("mod {stem};")))
        .collect();
    assert!(
        forgotten.is_empty(),
        "not in tests/it/main.rs: {forgotten:?}"
    );
}

const TABLE_BEGINS: &str =
    "<!-- rules: generated; UPDATE_README=1 cargo test --test it readme -->\n";
const TABLE_ENDS: &str = "<!-- rules end -->";

/// `UPDATE_README=1` writes the table instead.
#[test]
fn readme_lists_the_rules() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme
        .split_once(TABLE_BEGINS)
        .expect("README has the table's first marker");
    let (table, after) = rest
        .split_once(TABLE_ENDS)
        .expect("README has the table's last marker");
    let fresh = rules_table(&root());
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(
            &path,
            format!("{before}{TABLE_BEGINS}{fresh}{TABLE_ENDS}{after}"),
        )
        .unwrap();
    } else {
        assert_eq!(
            table, fresh,
            "run: UPDATE_README=1 cargo test --test it readme"
        );
    }
}

/// The table as the program prints it.
fn rules_table(folder: &Path) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(["rules", "--table"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
