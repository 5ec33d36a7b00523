//! Atlas: SQL without a transaction, and the sum of the folder.

use sha2::{Digest, Sha256};

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, StepKind,
    Subfolders,
    name::MAX_NAME_BYTES,
    project::{folder_of, quoted_after, resolved},
    script, split,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "atlas",
    summary: "Atlas",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const SUM: &str = "atlas.sum";
const REHASH: &str = "run: atlas migrate hash (the sum of this folder is not one that pgassay can continue), then atlas migrate apply";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["atlas.hcl", SUM]).map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    if let Some(sum) = view.find(&[SUM]) {
        return folder_of(sum).to_owned();
    }
    let configured = view.find(&["atlas.hcl"]).and_then(|config| {
        let text = view.text(config)?;
        let migration = text.split_once("migration")?.1.to_owned();
        let url = quoted_after(&migration, "dir")?;
        resolved(
            folder_of(config),
            url.strip_prefix("file://").unwrap_or(url),
        )
    });
    configured.unwrap_or_else(|| "migrations".to_owned())
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let steps = request.without_marks(&mut rendered);
    let request = &Request {
        steps: &steps,
        ..*request
    };
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    let mut files = existing(request.existing);
    for step in request.fresh(&mut rendered) {
        let name = format!("{}_{}.sql", versions.next(), step.slug);
        let content = format!(
            "-- atlas:txmode none\n\n{}\n{}",
            split::header(step, &["run: atlas migrate apply (not with --tx-mode all)"]),
            split::text(&script::up(step), "", "")
        );
        if !matches!(step.kind, StepKind::Drop(_)) {
            files.push((name.clone(), content.clone()));
        }
        rendered
            .files
            .push(MigrationFile::new(FRAMEWORK.path(step, &name), content));
        let stem = name.trim_end_matches(".sql");
        rendered.files.push(split::undo_script(step, stem));
    }
    if rendered.files.is_empty() {
        return Ok(rendered);
    }
    let old = request.existing.text(SUM);
    let before = existing(request.existing);
    files.sort();
    if old
        .as_deref()
        .map_or(before.is_empty(), |old| old == sum(&before))
    {
        let content = sum(&files);
        if old.as_deref() != Some(&content) {
            rendered.files.push(MigrationFile {
                path: SUM.to_owned(),
                content,
                replaces: old,
            });
        }
    } else {
        rendered.notes.push(REHASH.to_owned());
    }
    rendered
        .notes
        .push("undo/*.psql are for psql -f; atlas migrate down plans its own way".to_owned());
    Ok(rendered)
}

/// The migrations that are there, in their order.
fn existing(view: &ProjectView<'_>) -> Vec<(String, String)> {
    let files = view
        .top()
        .into_iter()
        .filter(|name| name.ends_with(".sql"))
        .filter_map(|name| Some((name.to_owned(), view.text(name)?)));
    files.collect()
}

/// `atlas.sum` of a folder: each file's sum takes in all files before it.
fn sum(files: &[(String, String)]) -> String {
    let mut running = Sha256::new();
    let mut total = Sha256::new();
    let mut lines = String::new();
    for (name, content) in files {
        running.update(name.as_bytes());
        if is_left_out(content) {
            continue;
        }
        running.update(content.as_bytes());
        let hash = base64(&running.clone().finalize());
        total.update(name.as_bytes());
        total.update(hash.as_bytes());
        lines.push_str(&format!("{name} h1:{hash}\n"));
    }
    format!("h1:{}\n{lines}", base64(&total.finalize()))
}

fn is_left_out(content: &str) -> bool {
    content
        .lines()
        .any(|line| line.trim() == "-- atlas:sum ignore")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .zip([16, 8, 0])
            .fold(0_u32, |bits, (byte, shift)| {
                bits | (u32::from(*byte) << shift)
            });
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS[(bits >> shift & 63) as usize];
            text.push(if at <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        assert_eq!(base64(b"light w"), "bGlnaHQgdw==");
        assert_eq!(base64(b"light wo"), "bGlnaHQgd28=");
        assert_eq!(base64(b"light wor"), "bGlnaHQgd29y");
    }
}
