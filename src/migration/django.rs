//! Django: a migration a step behind the app's last one, outside a transaction; the model's state learns of the index where the model can say it.

mod models;

use std::collections::BTreeMap;

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    code::Calls,
    fragment,
    host::Host,
    model,
    project::{file_name, joined},
    script::{self, Op},
};
use crate::catalog::{Direction, IndexDef, KeyTarget, RelationName};
use models::{App, Model, Models};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "django",
    summary: "Django",
    max_name_bytes: MAX_INDEX_NAME,
    subfolders: Subfolders::Ignored,
    detect,
    folder: |_| String::new(),
    render,
};

/// `Index.max_name_length`: longer names work, but `check` fails once they stand in a model (models.E034).
const MAX_INDEX_NAME: usize = 30;

const CALLS: Calls = Calls {
    host: Host::Python,
    step: "    ",
    run: ("cursor.execute(", ")"),
    if_row: ("if has_row(cursor, ", "):"),
    end: "",
    nothing: "pass",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let manage = view.find(&["manage.py"])?;
    let text = view.text(manage)?;
    text.contains("django").then(|| Marker::certain(manage))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut project = Project::of(request)?;
    for step in request.fresh(&mut rendered) {
        project.add(step, &mut rendered)?;
    }
    Ok(rendered)
}

/// What a run knows of the project, and what it adds.
struct Project<'a> {
    models: Models,
    steps: &'a [Step],
    /// Where each app's migrations go, from the folder that is written into.
    folders: Vec<String>,
    /// The last migration of each app, and the next number.
    ends: Vec<End>,
    /// Where this run installs extensions.
    extensions: BTreeMap<String, (String, String)>,
    /// The text of each app's migrations and models, in which names of indexes are looked up.
    texts: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct End {
    leaf: Option<String>,
    next: u32,
}

impl<'a> Project<'a> {
    fn of(request: &Request<'a>) -> Result<Self, RenderError> {
        let models = Models::of(request.project);
        let is_whole = detect(request.existing).is_some() || request.folder.is_empty();
        if is_whole && models.apps.is_empty() {
            return Err(RenderError {
                message: "no app with a migrations folder in the project".to_owned(),
                hint: "name one with --out, such as shop/migrations".to_owned(),
            });
        }
        if is_whole {
            let folders = models
                .apps
                .iter()
                .map(|app| joined(&app.folder, "migrations"));
            let folders: Vec<String> = folders.collect();
            let places: Vec<(&ProjectView<'_>, String)> = folders
                .iter()
                .map(|folder| (request.project, folder.clone()))
                .collect();
            return Self::with(models, request.steps, folders.clone(), &places);
        }
        // one app's folder: all goes there
        let folder = request.folder.trim_end_matches('/');
        let mut models = models;
        let own = folder
            .strip_suffix("migrations")
            .map_or(folder, |above| above.trim_end_matches('/'));
        let known = models.apps.iter().find(|app| app.folder == own).cloned();
        let app = known.unwrap_or_else(|| App {
            folder: own.to_owned(),
            label: file_name(own).to_owned(),
        });
        models.keep_app(app);
        Self::with(
            models,
            request.steps,
            vec![String::new()],
            &[(request.existing, String::new())],
        )
    }

    fn with(
        models: Models,
        steps: &'a [Step],
        folders: Vec<String>,
        places: &[(&ProjectView<'_>, String)],
    ) -> Result<Self, RenderError> {
        let mut ends = Vec::new();
        let mut texts = Vec::new();
        for ((view, folder), app) in places.iter().zip(&models.apps) {
            let names: Vec<&str> = view
                .names_in(folder)
                .into_iter()
                .filter(|name| name.ends_with(".py") && *name != "__init__.py")
                .collect();
            let migrations: Vec<(&str, String)> = names
                .iter()
                .map(|name| {
                    let text = view.text(&joined(folder, name)).unwrap_or_default();
                    (name.trim_end_matches(".py"), text)
                })
                .collect();
            ends.push(end(&migrations, &app.label)?);
            texts.push(migrations.into_iter().map(|(_, text)| text).collect());
        }
        Ok(Self {
            models,
            steps,
            folders,
            ends,
            extensions: BTreeMap::new(),
            texts,
        })
    }

    fn add(&mut self, step: &Step, rendered: &mut Rendered) -> Result<(), RenderError> {
        let table = self.table(step);
        let model = table.as_ref().and_then(|table| self.models.of_table(table));
        let app = model
            .map(Model::app)
            .or_else(|| self.models.app_of_prefix(table.as_ref()?));
        let at = app.unwrap_or_default();
        if app.is_none() && self.folders.len() > 1 {
            rendered.notes.push(format!(
                "{}: no model has its table; written into the app {}",
                step.slug, self.models.apps[at].label
            ));
        }
        let state = State::of(step, model, &self.texts[at]);
        if let Some(note) = &state.note {
            rendered.notes.push(note.clone());
        }
        let label = self.models.apps[at].label.clone();
        let mut dependencies: Vec<(String, String)> = Vec::new();
        dependencies.extend(self.ends[at].leaf.clone().map(|leaf| (label.clone(), leaf)));
        if let StepKind::Create(change) = &step.kind {
            let needed = change
                .extension
                .as_ref()
                .and_then(|extension| self.extensions.get(extension));
            dependencies.extend(needed.filter(|(other, _)| *other != label).cloned());
        }
        let name = format!("{:04}_{}", self.ends[at].next, step.slug);
        let file = FRAMEWORK.path(step, &format!("{name}.py"));
        let path = joined(&self.folders[at], &file);
        rendered.files.push(MigrationFile::new(
            path,
            content(step, &dependencies, &state),
        ));
        if let StepKind::Extension(extension) = &step.kind {
            self.extensions
                .insert(extension.clone(), (label, name.clone()));
        }
        self.ends[at].next += 1;
        if !matches!(step.kind, StepKind::Drop(_)) {
            self.ends[at].leaf = Some(name);
        }
        Ok(())
    }

    /// The table that a step is about; for an extension, that of the first index that needs it.
    fn table(&self, step: &Step) -> Option<RelationName> {
        match &step.kind {
            StepKind::Create(change) | StepKind::Drop(change) => Some(change.def.table.clone()),
            StepKind::Statistics(statistics) => {
                let parts = fragment::dotted(&statistics.table);
                let plain = |part: &str| part.trim_matches('"').replace("\"\"", "\"");
                let name = plain(parts.last()?);
                let schema = if parts.len() > 1 {
                    plain(parts[0])
                } else {
                    "public".to_owned()
                };
                Some(RelationName::new(schema, name))
            }
            StepKind::Extension(extension) => {
                self.steps.iter().find_map(|other| match &other.kind {
                    StepKind::Create(change) if change.extension.as_ref() == Some(extension) => {
                        Some(change.def.table.clone())
                    }
                    _ => None,
                })
            }
        }
    }
}

/// The one migration that no other of the app builds on, and the number after the greatest.
fn end(migrations: &[(&str, String)], label: &str) -> Result<End, RenderError> {
    let next = migrations
        .iter()
        .filter_map(|(name, _)| name.get(..4)?.parse::<u32>().ok())
        .max()
        .map_or(1, |last| last.saturating_add(1));
    let is_referred = |name: &str| {
        migrations.iter().any(|(_, text)| {
            let references = [format!("\"{name}\""), format!("'{name}'")];
            references
                .iter()
                .any(|reference| text.contains(reference.as_str()))
        })
    };
    let mut leaves: Vec<&str> = migrations
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()) && !is_referred(name))
        .collect();
    leaves.sort_unstable();
    match leaves.as_slice() {
        [] => Ok(End { leaf: None, next }),
        [leaf] => Ok(End {
            leaf: Some((*leaf).to_owned()),
            next,
        }),
        several => Err(RenderError {
            message: format!(
                "the app {label} has several last migrations: {}",
                several.join(", ")
            ),
            hint: "join them first: python manage.py makemigrations --merge".to_owned(),
        }),
    }
}

/// What the model's state learns.
#[derive(Debug, Default)]
struct State {
    operation: Option<String>,
    import: Option<String>,
    note: Option<String>,
}

impl State {
    fn of(step: &Step, model: Option<Model<'_>>, texts: &str) -> Self {
        match (&step.kind, model) {
            (StepKind::Create(change), Some(model)) if change.constraint.is_none() => {
                Self::created(&change.def, model).unwrap_or_default()
            }
            (StepKind::Drop(change), Some(model)) => {
                let name = Host::Python.quoted(&change.def.name);
                let single = name.replace('"', "'");
                if !texts.contains(&name) && !texts.contains(&single) {
                    return Self::default();
                }
                Self {
                    operation: Some(format!(
                        "migrations.RemoveIndex(model_name={}, name={name})",
                        Host::Python.quoted(&model.name().to_lowercase())
                    )),
                    import: None,
                    note: Some(format!(
                        "when the drop of {} is applied, take it out of Meta.indexes of {}",
                        change.def.name,
                        model.name()
                    )),
                }
            }
            _ => Self::default(),
        }
    }

    /// `None` where a model cannot say the index: then Django neither knows nor minds it.
    fn created(def: &IndexDef, model: Model<'_>) -> Option<Self> {
        let starts_well = def.name.starts_with(|c: char| c.is_alphabetic());
        if !starts_well || def.unique {
            return None;
        }
        let (class, import) = match def.method.as_str() {
            "" | "btree" => ("models.Index", None),
            "gin" => ("GinIndex", Some("GinIndex")),
            "gist" => ("GistIndex", Some("GistIndex")),
            "spgist" => ("SpGistIndex", Some("SpGistIndex")),
            "brin" => ("BrinIndex", Some("BrinIndex")),
            "hash" => ("HashIndex", Some("HashIndex")),
            _ => return None,
        };
        let mut arguments = vec![format!("fields=[{}]", fields(def, model)?.join(", "))];
        arguments.push(format!("name={}", Host::Python.quoted(&def.name)));
        let classes: Vec<&str> = def
            .keys
            .iter()
            .filter_map(|key| key.opclass.as_deref())
            .collect();
        if !classes.is_empty() {
            if classes.len() != def.keys.len() {
                return None;
            }
            let classes: Vec<String> = classes
                .iter()
                .map(|class| Host::Python.quoted(class))
                .collect();
            arguments.push(format!("opclasses=[{}]", classes.join(", ")));
        }
        if !def.include.is_empty() {
            let included: Option<Vec<String>> = def
                .include
                .iter()
                .map(|column| model.field(column).map(|field| Host::Python.quoted(field)))
                .collect();
            arguments.push(format!("include=[{}]", included?.join(", ")));
        }
        if let Some(predicate) = &def.predicate {
            arguments.push(format!("condition={}", condition(predicate, model)?));
        }
        let index = format!("{class}({})", arguments.join(", "));
        let hint = import.map_or_else(String::new, |class| {
            format!(" (from django.contrib.postgres.indexes import {class})")
        });
        Some(Self {
            operation: Some(format!(
                "migrations.AddIndex(model_name={}, index={index})",
                Host::Python.quoted(&model.name().to_lowercase())
            )),
            import: import
                .map(|class| format!("from django.contrib.postgres.indexes import {class}\n")),
            note: Some(format!(
                "add to Meta.indexes of {}, or the next makemigrations drops the index: {index}{hint}",
                model.name()
            )),
        })
    }
}

/// `"customer"`, `"-created_at"`
fn fields(def: &IndexDef, model: Model<'_>) -> Option<Vec<String>> {
    def.keys
        .iter()
        .map(|key| {
            let KeyTarget::Column(column) = &key.target else {
                return None;
            };
            let plain = crate::catalog::IndexKey {
                opclass: None,
                ..key.clone()
            };
            if !model::is_plain(&plain) {
                return None;
            }
            let field = model.field(column)?;
            Some(match key.direction {
                Direction::Asc => Host::Python.quoted(field),
                Direction::Desc => Host::Python.quoted(&format!("-{field}")),
            })
        })
        .collect()
}

/// `column IS NULL` and its opposite; other predicates stay SQL.
fn condition(predicate: &str, model: Model<'_>) -> Option<String> {
    let mut inner = predicate.trim();
    while let Some(bare) = inner
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        inner = bare.trim();
    }
    let (column, is_null) = match inner.strip_suffix(" IS NOT NULL") {
        Some(column) => (column, "False"),
        None => (inner.strip_suffix(" IS NULL")?, "True"),
    };
    let is_name = column
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_');
    let field = model.field(column).filter(|_| is_name)?;
    Some(format!("models.Q({field}__isnull={is_null})"))
}

fn content(step: &Step, dependencies: &[(String, String)], state: &State) -> String {
    let mut extra = vec!["run: python manage.py migrate"];
    if matches!(step.kind, StepKind::Drop(_)) {
        extra.push("when it moves to the other migrations: give it the next number, and the app's last migration as dependency");
    }
    let dependencies: Vec<String> = dependencies
        .iter()
        .map(|(app, name)| {
            format!(
                "        ({}, {}),\n",
                Host::Python.quoted(app),
                Host::Python.quoted(name)
            )
        })
        .collect();
    let dependencies = dependencies.concat();
    let function = |name: &str, ops: &[Op]| {
        if script::does_something(ops) {
            format!(
                "def {name}(apps, schema_editor):\n    with schema_editor.connection.cursor() as cursor:\n{}",
                CALLS.body(ops, 2)
            )
        } else {
            format!("def {name}(apps, schema_editor):\n{}", CALLS.body(ops, 1))
        }
    };
    let operations = match &state.operation {
        Some(operation) => format!(
            "        migrations.SeparateDatabaseAndState(\n            database_operations=[migrations.RunPython(forwards, backwards)],\n            state_operations=[\n                {operation},\n            ],\n        ),\n"
        ),
        None => "        migrations.RunPython(forwards, backwards),\n".to_owned(),
    };
    let models = if state
        .operation
        .as_ref()
        .is_some_and(|operation| operation.contains("models."))
    {
        ", models"
    } else {
        ""
    };
    format!(
        "{}\n{}from django.db import migrations{models}\n\n\ndef has_row(cursor, sql):\n    cursor.execute(sql)\n    return cursor.fetchone() is not None\n\n\n{}\n\n{}\n\n\
         class Migration(migrations.Migration):\n    atomic = False\n\n    dependencies = [\n{dependencies}    ]\n\n    operations = [\n{operations}    ]\n",
        CALLS.header(step, &extra),
        state.import.as_deref().unwrap_or_default(),
        function("forwards", &script::up(step)),
        function("backwards", &script::down(step)),
    )
}
