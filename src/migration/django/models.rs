//! The models of a Django project, as far as their source says it: which model a table belongs to, and which field a column.

use super::super::{
    ProjectView,
    project::{file_name, folder_of},
};
use crate::catalog::RelationName;

/// A class of a models module.
#[derive(Debug, Clone)]
struct Class {
    app: usize,
    name: String,
    bases: Vec<String>,
    table: Option<String>,
    is_abstract: bool,
    /// Field and column.
    fields: Vec<(String, String)>,
}

/// An application: a folder with migrations.
#[derive(Debug, Clone)]
pub(in super::super) struct App {
    /// From the project's root; empty for the root itself.
    pub(in super::super) folder: String,
    pub(in super::super) label: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(in super::super) struct Models {
    pub(in super::super) apps: Vec<App>,
    classes: Vec<Class>,
}

/// A table's model.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Model<'a> {
    models: &'a Models,
    class: &'a Class,
}

/// Abstract models build on each other at most so often.
const MAX_BASES: usize = 8;

impl Models {
    pub(in super::super) fn of(view: &ProjectView<'_>) -> Self {
        let mut models = Self::default();
        for path in view.paths() {
            let Some(folder) = migrations_parent(path) else {
                continue;
            };
            if models.apps.iter().all(|app| app.folder != folder) {
                models.apps.push(App {
                    folder: folder.to_owned(),
                    label: label(view, folder),
                });
            }
        }
        for path in view.paths() {
            let folder = folder_of(path);
            let is_module = file_name(path) == "models.py";
            let (is_module, folder) = match folder.strip_suffix("/models") {
                Some(above) if path.ends_with(".py") => (true, above),
                _ => (is_module, folder),
            };
            let app = models.apps.iter().position(|app| app.folder == folder);
            // abstract models often live in a module without migrations
            if is_module && let Some(text) = view.text(path) {
                models
                    .classes
                    .extend(classes(&text, app.unwrap_or(usize::MAX)));
            }
        }
        models
    }

    /// The model whose table this is.
    pub(in super::super) fn of_table(&self, table: &RelationName) -> Option<Model<'_>> {
        let quoted = format!("{}\".\"{}", table.schema, table.name);
        let is_own = |class: &&Class| {
            let Some(app) = self.apps.get(class.app) else {
                return false;
            };
            match &class.table {
                Some(named) => *named == table.name || *named == quoted,
                None => table.name == format!("{}_{}", app.label, class.name.to_lowercase()),
            }
        };
        let class = self
            .classes
            .iter()
            .filter(|class| !class.is_abstract)
            .find(is_own)?;
        Some(Model {
            models: self,
            class,
        })
    }

    /// Leaves this app alone; models of others stay known as bases.
    pub(in super::super) fn keep_app(&mut self, app: App) {
        let at = self
            .apps
            .iter()
            .position(|known| known.folder == app.folder);
        for class in &mut self.classes {
            class.app = if Some(class.app) == at { 0 } else { usize::MAX };
        }
        self.apps = vec![app];
    }

    /// The app that a table's name starts with.
    pub(in super::super) fn app_of_prefix(&self, table: &RelationName) -> Option<usize> {
        let is_prefix = |app: &App| {
            table
                .name
                .strip_prefix(&app.label)
                .is_some_and(|rest| rest.starts_with('_'))
        };
        (0..self.apps.len())
            .filter(|at| is_prefix(&self.apps[*at]))
            .max_by_key(|at| self.apps[*at].label.len())
    }
}

impl<'a> Model<'a> {
    pub(in super::super) fn app(self) -> usize {
        self.class.app
    }

    pub(in super::super) fn name(self) -> &'a str {
        &self.class.name
    }

    /// The field of a column.
    pub(in super::super) fn field(self, column: &str) -> Option<&'a str> {
        self.models.field(self.class, column, 0).or_else(|| {
            // the key that Django adds where a model has none
            (column == "id").then_some("id")
        })
    }
}

impl Models {
    fn field<'a>(&'a self, class: &'a Class, column: &str, depth: usize) -> Option<&'a str> {
        let own = class.fields.iter().find(|(_, known)| known == column);
        if let Some((field, _)) = own {
            return Some(field);
        }
        if depth == MAX_BASES {
            return None;
        }
        let bases = class.bases.iter();
        let mut parents = bases.flat_map(|base| {
            self.classes
                .iter()
                .filter(move |class| class.is_abstract && class.name == *base)
        });
        parents.find_map(|parent| self.field(parent, column, depth + 1))
    }
}

/// `shop` of `shop/migrations/0001_initial.py` and of `shop/migrations/__init__.py`.
fn migrations_parent(path: &str) -> Option<&str> {
    let folder = folder_of(path);
    let above = match folder {
        "migrations" => "",
        folder => folder.strip_suffix("/migrations")?,
    };
    let name = file_name(path);
    let numbered = name
        .get(..4)
        .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    (name == "__init__.py" || (numbered && name.ends_with(".py"))).then_some(above)
}

fn label(view: &ProjectView<'_>, folder: &str) -> String {
    let config = super::super::project::joined(folder, "apps.py");
    let text = view.text(&config).unwrap_or_default();
    super::super::project::setting(&text, "label")
        .filter(|label| label.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map_or_else(|| file_name(folder).to_owned(), str::to_owned)
}

fn classes(text: &str, app: usize) -> Vec<Class> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_prefix("class ") else {
            continue;
        };
        let mut head = head.to_owned();
        while !head.contains("):") && !head.trim_end().ends_with(':') {
            match lines.next() {
                Some(line) => head.push_str(line.trim()),
                None => break,
            }
        }
        let mut body: Vec<&str> = Vec::new();
        while let Some(line) = lines.peek() {
            if !line.is_empty() && !line.starts_with([' ', '\t', '#', ')']) {
                break;
            }
            body.push(line);
            lines.next();
        }
        found.extend(class(&head, &body, app));
    }
    found
}

fn class(head: &str, body: &[&str], app: usize) -> Option<Class> {
    let (name, bases) = head.split_once('(')?;
    let bases = bases.split(')').next().unwrap_or_default();
    let body_text = body.join("\n");
    let meta = body_text
        .split_once("class Meta")
        .map_or("", |(_, meta)| meta);
    let value = |key: &str| super::super::project::setting(meta, key);
    Some(Class {
        app,
        name: name.trim().to_owned(),
        bases: bases
            .split(',')
            .map(|base| {
                base.trim()
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect(),
        table: meta
            .lines()
            .find_map(|line| {
                line.trim()
                    .strip_prefix("db_table")
                    .filter(|rest| rest.trim_start().starts_with('='))
            })
            .and_then(python_string),
        is_abstract: value("abstract") == Some("True"),
        fields: fields(&body_text),
    })
}

/// The first string literal of a line; escapes as in `\"`.
fn python_string(text: &str) -> Option<String> {
    let start = text.find(['"', '\''])?;
    let quote = text[start..].chars().next()?;
    let mut value = String::new();
    let mut chars = text[start + 1..].chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            c if c == quote => return Some(value),
            c => value.push(c),
        }
    }
    None
}

/// `name = models.ForeignKey(…, db_column="x")` → field and column.
fn fields(body: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let indent = body
        .lines()
        .find(|line| !line.trim().is_empty())
        .map_or(0, |line| line.len() - line.trim_start().len());
    let mut offset = 0;
    for line in body.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let trimmed = line.trim_start();
        if line.len() - trimmed.len() != indent {
            continue;
        }
        let Some((name, value)) = trimmed.split_once('=') else {
            continue;
        };
        let name = name.split(':').next().unwrap_or_default().trim();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let Some((class, _)) = value.split_once('(') else {
            continue;
        };
        let class = class.trim().rsplit('.').next().unwrap_or_default();
        if !is_name
            || !(class.ends_with("Field")
                || class.ends_with("ForeignKey")
                || class.ends_with("Key"))
            || class.starts_with("ManyTo")
        {
            continue;
        }
        let arguments = call_arguments(&body[start..]);
        let named = arguments
            .split_once("db_column")
            .filter(|(_, rest)| rest.trim_start().starts_with('='))
            .and_then(|(_, rest)| python_string(rest));
        let is_relation = class.ends_with("ForeignKey") || class.starts_with("OneToOne");
        let column = named.unwrap_or_else(|| {
            if is_relation {
                format!("{name}_id")
            } else {
                name.to_owned()
            }
        });
        fields.push((name.to_owned(), column));
    }
    fields
}

/// The text between a call's parentheses.
fn call_arguments(text: &str) -> &str {
    let Some(open) = text.find('(') else {
        return "";
    };
    let mut depth = 0_u32;
    for (at, c) in text[open..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return &text[open + 1..open + at];
                }
            }
            _ => {}
        }
    }
    &text[open + 1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        let files = |path: &str| {
            Some(match path {
                "shop/models.py" => {
                    "from django.db import models\n\nclass Stamped(models.Model):\n    created_at = models.DateTimeField()\n    class Meta:\n        abstract = True\n\n\
                     class Order(Stamped):\n    customer = models.ForeignKey(\n        Customer,\n        on_delete=models.CASCADE,\n    )\n    \
                     state: str = models.CharField(max_length=(3), db_column='st')\n\n    def total(self):\n        x = models.IntegerField()\n\n\
                     class Named(models.Model):\n    class Meta:\n        db_table = 'legacy'\n"
                }
                "shop/apps.py" => "class ShopConfig(AppConfig):\n    label = \"store\"\n",
                _ => return None,
            }
            .to_owned())
        };
        let paths = [
            "shop/apps.py",
            "shop/models.py",
            "shop/migrations/0001_initial.py",
        ];
        Models::of(&ProjectView::new(
            paths.map(str::to_owned).to_vec(),
            Box::new(files),
        ))
    }

    #[test]
    fn columns_find_their_fields() {
        let models = models();
        let model = models
            .of_table(&RelationName::new("public", "store_order"))
            .unwrap();
        assert_eq!(model.name(), "Order");
        for (column, field) in [
            ("customer_id", Some("customer")),
            ("st", Some("state")),
            ("created_at", Some("created_at")),
            ("id", Some("id")),
            ("x", None),
            ("state", None),
        ] {
            assert_eq!(model.field(column), field, "{column}");
        }
        assert_eq!(
            models
                .of_table(&RelationName::new("public", "legacy"))
                .unwrap()
                .name(),
            "Named"
        );
        assert!(
            models
                .of_table(&RelationName::new("public", "other"))
                .is_none()
        );
    }
}
