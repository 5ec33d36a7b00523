//! sqitch: deploy, revert and verify scripts that psql runs, and a line in the plan. No BEGIN: the scripts stand outside a transaction.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    host::Host,
    name::MAX_NAME_BYTES,
    preflight::{self, Direction},
    project::{folder_of, resolved, setting},
    script::{self, Op},
    sql,
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sqitch",
    summary: "sqitch",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const PLAN: &str = "sqitch.plan";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["sqitch.conf", PLAN]).map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let configured = view.find(&["sqitch.conf"]).and_then(|config| {
        let text = view.text(config)?;
        resolved(folder_of(config), setting(&text, "top_dir")?)
    });
    let plan = || view.find(&[PLAN]).map(|plan| folder_of(plan).to_owned());
    configured.or_else(plan).unwrap_or_default()
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let old = plan(request)?;
    let mut text = old.clone();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let date = request.start.time.strftime("%Y-%m-%dT%H:%M:%SZ");
    for step in request.fresh(&mut rendered) {
        let name = &step.slug;
        if old
            .lines()
            .any(|line| line.split_whitespace().next() == Some(name))
        {
            rendered.known.push(name.clone());
            continue;
        }
        let entry = format!(
            "{name} {date} pgassay <pgassay@localhost> # {}\n",
            crate::finding::visible(&preflight::title(&step.kind))
        );
        match step.kind {
            StepKind::Drop(_) => rendered.notes.push(format!(
                "drops/*/{name}.sql wait there; when their condition holds, move them and add: sqitch add {name}"
            )),
            _ => text.push_str(&entry),
        }
        rendered.files.extend(files(step));
    }
    if text.trim_end() != old.trim_end() {
        rendered.files.push(MigrationFile {
            path: PLAN.to_owned(),
            content: text,
            replaces: Some(old),
        });
    }
    Ok(rendered)
}

/// The plan as it is. Without one there is no project to add to.
fn plan(request: &Request<'_>) -> Result<String, RenderError> {
    request.existing.text(PLAN).ok_or_else(|| RenderError {
        message: format!("no {PLAN} in {:?}", request.folder),
        hint: "make one with: sqitch init NAME --engine pg; then name its folder with --project, or with --out the folder of the plan".to_owned(),
    })
}

fn files(step: &Step) -> [MigrationFile; 3] {
    let verify: Vec<Op> = script::up(step)
        .into_iter()
        .filter(|op| matches!(op, Op::AssertValid(_)))
        .collect();
    let verify = if verify.is_empty() {
        "SELECT 1;\n".to_owned()
    } else {
        sql::body(&verify)
    };
    let script = |folder: &str, body: &str, direction| {
        let lines: String = preflight::lines(step, direction)
            .iter()
            .map(|line| Host::Sql.comment(line))
            .collect();
        let name = format!("{folder}/{}.sql", step.slug);
        MigrationFile::new(FRAMEWORK.path(step, &name), format!("{lines}\n{body}"))
    };
    [
        script("deploy", &sql::body(&script::up(step)), Direction::Up),
        script("revert", &sql::body(&script::down(step)), Direction::Down),
        script("verify", &verify, Direction::Up),
    ]
}
