//! Laravel: a class a step, outside a transaction; `unprepared`, as placeholders and JSON operators look alike.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::Host,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined},
    script,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "laravel",
    summary: "Laravel (PHP)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Php,
    step: "    ",
    run: ("DB::unprepared(", ");"),
    if_row: ("if (DB::select(", ") !== []) {"),
    end: "}",
    nothing: "",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["artisan"]).map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let base = view.find(&["artisan"]).map_or("", folder_of);
    joined(base, "database/migrations")
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let stamps: Vec<String> = request
        .existing
        .top()
        .into_iter()
        .map(|name| {
            let dated = name.chars().take(17).filter(|c| *c != '_');
            dated.collect::<String>()
        })
        .filter(|stamp| stamp.len() == 14 && stamp.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    let stamps: Vec<&str> = stamps.iter().map(String::as_str).collect();
    let mut versions = Versions::after(&stamps, Style::Stamp, request.start);
    for step in request.fresh(&mut rendered) {
        let name = format!("{}_{}.php", underscored(&versions.next()), step.slug);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step),
        ));
    }
    Ok(rendered)
}

/// `2026_01_02_030405`
fn underscored(stamp: &str) -> String {
    let part = |range: std::ops::Range<usize>| stamp.get(range).unwrap_or_default();
    format!(
        "{}_{}_{}_{}",
        part(0..4),
        part(4..6),
        part(6..8),
        part(8..14)
    )
}

fn content(step: &Step) -> String {
    let mut text = format!(
        "<?php\n\n{}\nuse Illuminate\\Database\\Migrations\\Migration;\nuse Illuminate\\Support\\Facades\\DB;\n\n\
         return new class extends Migration\n{{\n    public $withinTransaction = false;\n",
        CALLS.header(step, &["run: php artisan migrate"])
    );
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push_str(&format!(
            "\n    public function {name}(): void\n    {{\n{}    }}\n",
            CALLS.body(&ops, 2)
        ));
    }
    text.push_str("};\n");
    text
}
