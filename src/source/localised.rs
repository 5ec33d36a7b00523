//! Messages of servers that speak another language than English (`lc_messages`): those that carry a statement, put into English words; and
//! the names of severities and of the parts of a message. Words as PostgreSQL 15's catalogs have them (`src/backend/po`).

use super::{message::milliseconds, prefix::Level, record::Severity};

/// What one language says for English words.
struct Tongue {
    /// `duration: `
    duration: &'static str,
    /// ` ms`
    unit: &'static str,
    /// What follows the unit, and the English for it.
    finished: &'static [Form],
    /// What a message of `log_statement` starts with.
    started: &'static [Form],
    /// What a DETAIL starts with: `parameters: `, `prepare: `.
    details: &'static [(&'static str, &'static str)],
}

/// Words ahead of a statement or its name, the English for them, and what ends the name.
type Form = (&'static str, &'static str, &'static str);

const TONGUES: &[Tongue] = &[
    // German
    Tongue {
        duration: "Dauer: ",
        unit: " ms",
        finished: &[
            ("  Anweisung: ", "statement: ", ""),
            ("  Parsen ", "parse ", ": "),
            ("  Binden ", "bind ", ": "),
            ("  Ausführen Fetch von ", "execute fetch from ", ": "),
            ("  Ausführen ", "execute ", ": "),
        ],
        started: &[
            ("Anweisung: ", "statement: ", ""),
            ("Ausführen Fetch von ", "execute fetch from ", ": "),
            ("Ausführen ", "execute ", ": "),
        ],
        details: &[
            ("Parameter: ", "parameters: "),
            ("Vorbereiten: ", "prepare: "),
        ],
    },
    // Spanish
    Tongue {
        duration: "duración: ",
        unit: " ms",
        finished: &[
            ("  sentencia: ", "statement: ", ""),
            ("  parse: ", "parse ", ": "),
            ("  parse ", "parse ", ": "),
            ("  bind ", "bind ", ": "),
            ("  ejecutar fetch desde ", "execute fetch from ", ": "),
            ("  ejecutar ", "execute ", ": "),
        ],
        started: &[
            ("sentencia: ", "statement: ", ""),
            ("ejecutar fetch desde ", "execute fetch from ", ": "),
            ("ejecutar ", "execute ", ": "),
        ],
        details: &[("parámetros: ", "parameters: ")],
    },
    // French
    Tongue {
        duration: "durée : ",
        unit: " ms",
        finished: &[
            (", instruction : ", "statement: ", ""),
            (", analyse ", "parse ", " : "),
            (", lien ", "bind ", " : "),
            ("  exécute fetch à partir de ", "execute fetch from ", ": "),
            ("  exécute ", "execute ", ": "),
        ],
        started: &[
            ("instruction : ", "statement: ", ""),
            ("exécute fetch à partir de ", "execute fetch from ", ": "),
            ("exécute ", "execute ", ": "),
        ],
        details: &[
            ("paramètres : ", "parameters: "),
            ("préparation : ", "prepare: "),
        ],
    },
    // Italian
    Tongue {
        duration: "durata: ",
        unit: " ms",
        finished: &[
            ("  istruzione: ", "statement: ", ""),
            ("  analisi di ", "parse ", ": "),
            ("  bind ", "bind ", ": "),
            ("  esecuzione di fetch da ", "execute fetch from ", ": "),
            ("  esecuzione di ", "execute ", ": "),
        ],
        started: &[
            ("istruzione: ", "statement: ", ""),
            ("esecuzione di fetch da ", "execute fetch from ", ": "),
            ("esecuzione di ", "execute ", ": "),
        ],
        details: &[
            ("parametri: ", "parameters: "),
            ("preparazione: ", "prepare: "),
        ],
    },
    // Japanese
    Tongue {
        duration: "期間: ",
        unit: " ミリ秒",
        finished: &[
            ("  文: ", "statement: ", ""),
            ("  パース", "parse ", " : "),
            ("  バインド ", "bind ", ": "),
            ("  取り出し実行 ", "execute fetch from ", ": "),
            ("  実行 ", "execute ", ": "),
        ],
        started: &[
            ("文: ", "statement: ", ""),
            ("取り出し実行 ", "execute fetch from ", ": "),
            ("実行 ", "execute ", ": "),
        ],
        details: &[("パラメータ: ", "parameters: "), ("準備: ", "prepare: ")],
    },
    // Korean; its parse and bind name the statement first
    Tongue {
        duration: "실행시간: ",
        unit: " ms",
        finished: &[("  명령 구문: ", "statement: ", "")],
        started: &[("명령 구문: ", "statement: ", "")],
        details: &[("매개 변수: ", "parameters: ")],
    },
    Tongue {
        duration: "수행시간: ",
        unit: " ms",
        finished: &[
            ("  자료뽑기 ", "execute fetch from ", ": "),
            ("  쿼리실행 ", "execute ", ": "),
        ],
        started: &[("쿼리실행 ", "execute ", ": ")],
        details: &[],
    },
    // Russian
    Tongue {
        duration: "продолжительность: ",
        unit: " мс",
        finished: &[
            (", оператор: ", "statement: ", ""),
            (", разбор ", "parse ", ": "),
            (", сообщение Bind ", "bind ", ": "),
            ("  выборка из ", "execute fetch from ", ": "),
            ("  выполнение ", "execute ", ": "),
        ],
        started: &[
            ("оператор: ", "statement: ", ""),
            ("выборка из ", "execute fetch from ", ": "),
            ("выполнение ", "execute ", ": "),
        ],
        details: &[
            ("параметры: ", "parameters: "),
            ("подготовка: ", "prepare: "),
        ],
    },
    // Swedish
    Tongue {
        duration: "varaktighet: ",
        unit: " ms",
        finished: &[
            ("  sats: ", "statement: ", ""),
            ("  parse ", "parse ", ": "),
            ("  bind ", "bind ", ": "),
            ("  kör hämtning från ", "execute fetch from ", ": "),
            ("  kör ", "execute ", ": "),
        ],
        started: &[
            ("sats: ", "statement: ", ""),
            ("kör hämtning från ", "execute fetch from ", ": "),
            ("kör ", "execute ", ": "),
        ],
        details: &[("parametrar: ", "parameters: ")],
    },
    Tongue {
        duration: "varaktighet ",
        unit: " ms",
        finished: &[],
        started: &[],
        details: &[],
    },
    // Ukrainian
    Tongue {
        duration: "тривалість: ",
        unit: " мс",
        finished: &[
            (", оператор: ", "statement: ", ""),
            (", аналізування ", "parse ", ": "),
            (", повідомлення bind ", "bind ", ": "),
            (" виконати витягнення з ", "execute fetch from ", ": "),
            (" виконувати ", "execute ", ": "),
        ],
        started: &[
            ("виконати витягнення з ", "execute fetch from ", ": "),
            ("виконувати ", "execute ", ": "),
        ],
        details: &[
            ("параметри: ", "parameters: "),
            ("підготовка: ", "prepare: "),
        ],
    },
    // Chinese
    Tongue {
        duration: "执行时间: ",
        unit: " ms",
        finished: &[
            (" 语句: ", "statement: ", ""),
            ("  解析 ", "parse ", ": "),
            (" 绑定", "bind ", ": "),
            (" 执行FETCH操作", "execute fetch from ", ": "),
            (" 执行", "execute ", ": "),
        ],
        started: &[("语句: ", "statement: ", "")],
        details: &[("参数: ", "parameters: "), ("准备: ", "prepare: ")],
    },
    // Georgian; its parse names the statement first
    Tongue {
        duration: "ხანგრძლივობა: ",
        unit: " მწმ",
        finished: &[
            ("  გამოსახულება: ", "statement: ", ""),
            ("  მიბმა ", "bind ", ": "),
            ("s  გაშვება ", "execute ", ": "),
        ],
        started: &[
            ("ოპერატორი: ", "statement: ", ""),
            ("გაშვება ", "execute ", ": "),
        ],
        details: &[
            ("პარამეტრები: ", "parameters: "),
            ("მომზადება: ", "prepare: "),
        ],
    },
];

/// A message that carries a statement, in English; `None` when it is none, or in English already.
pub(super) fn english(message: &[u8]) -> Option<Vec<u8>> {
    if message.first()?.is_ascii_uppercase() && !message.starts_with(TONGUES[0].duration.as_bytes())
    {
        // of these languages, German alone starts it with a capital
        return TONGUES[0]
            .started
            .iter()
            .find_map(|form| put(message, form));
    }
    TONGUES
        .iter()
        .find_map(|tongue| tongue.finished(message).or_else(|| tongue.started(message)))
}

/// A DETAIL that holds parameters or the text of a PREPARE, in English.
pub(super) fn english_detail(detail: &[u8]) -> Option<Vec<u8>> {
    let mut all = TONGUES.iter().flat_map(|tongue| tongue.details);
    all.find_map(|(words, english)| {
        // from 17 on it starts with a capital
        let found = starts_alike(detail, words)?;
        Some([english.as_bytes(), found].concat())
    })
}

impl Tongue {
    fn finished(&self, message: &[u8]) -> Option<Vec<u8>> {
        let rest = message.strip_prefix(self.duration.as_bytes())?;
        let (_, len) = milliseconds(rest)?;
        let behind = rest[len..].strip_prefix(self.unit.as_bytes())?;
        let mut out = [b"duration: ", &rest[..len], b" ms"].concat();
        if behind.trim_ascii().is_empty() {
            return Some(out);
        }
        out.extend_from_slice(b"  ");
        out.extend(self.finished.iter().find_map(|form| put(behind, form))?);
        Some(out)
    }

    fn started(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.started.iter().find_map(|form| put(message, form))
    }
}

/// The words of one form in English, with what follows them.
fn put(text: &[u8], (words, english, end): &Form) -> Option<Vec<u8>> {
    let rest = text.strip_prefix(words.as_bytes())?;
    let name = match *end {
        "" => 0,
        end => memchr::memmem::find(rest, end.as_bytes())?,
    };
    let between = if end.is_empty() { "" } else { ": " };
    let sql = &rest[name + end.len()..];
    Some([english.as_bytes(), &rest[..name], between.as_bytes(), sql].concat())
}

/// What follows `words`, whose first letter may be a capital.
fn starts_alike<'a>(text: &'a [u8], words: &str) -> Option<&'a [u8]> {
    if let Some(rest) = text.strip_prefix(words.as_bytes()) {
        return Some(rest);
    }
    let first = words.chars().next()?;
    let capital: String = first.to_uppercase().chain(words.chars().skip(1)).collect();
    text.strip_prefix(capital.as_bytes())
}

/// Names of severities.
const SEVERITIES: &[(&str, Severity)] = &[
    ("СООБЩЕНИЕ", Severity::Log),
    ("LOGG", Severity::Log),
    ("ЗАПИСУВАННЯ", Severity::Log),
    ("日志", Severity::Log),
    ("로그", Severity::Log),
    ("ჟურნალი", Severity::Log),
    ("FEHLER", Severity::Error),
    ("ERREUR", Severity::Error),
    ("ERRORE", Severity::Error),
    ("ОШИБКА", Severity::Error),
    ("FEL", Severity::Error),
    ("ПОМИЛКА", Severity::Error),
    ("错误", Severity::Error),
    ("오류", Severity::Error),
    ("შეცდომა", Severity::Error),
    ("PANIK", Severity::Error),
    ("FATALE", Severity::Error),
    ("PANICO", Severity::Error),
    ("ВАЖНО", Severity::Error),
    ("ПАНИКА", Severity::Error),
    ("FATALT", Severity::Error),
    ("ФАТАЛЬНО", Severity::Error),
    ("ПАНІКА", Severity::Error),
    ("致命错误", Severity::Error),
    ("比致命错误还过分的错误", Severity::Error),
    ("치명적오류", Severity::Error),
    ("손상", Severity::Error),
    ("ფატალური", Severity::Error),
    ("პანიკა", Severity::Error),
    ("WARNUNG", Severity::Notice),
    ("HINWEIS", Severity::Notice),
    ("ATTENTION", Severity::Notice),
    ("ATTENZIONE", Severity::Notice),
    ("NOTIFICA", Severity::Notice),
    ("ПРЕДУПРЕЖДЕНИЕ", Severity::Notice),
    ("ЗАМЕЧАНИЕ", Severity::Notice),
    ("ИНФОРМАЦИЯ", Severity::Notice),
    ("ОТЛАДКА", Severity::Notice),
    ("VARNING", Severity::Notice),
    ("NOTIS", Severity::Notice),
    ("ПОПЕРЕДЖЕННЯ", Severity::Notice),
    ("ПОВІДОМЛЕННЯ", Severity::Notice),
    ("ІНФОРМАЦІЯ", Severity::Notice),
    ("НАЛАГОДЖЕННЯ", Severity::Notice),
    ("警告", Severity::Notice),
    ("注意", Severity::Notice),
    ("信息", Severity::Notice),
    ("调试", Severity::Notice),
    ("경고", Severity::Notice),
    ("알림", Severity::Notice),
    ("정보", Severity::Notice),
    ("디버그", Severity::Notice),
    ("გაფრთხილება", Severity::Notice),
    ("ინფორმაცია", Severity::Notice),
    ("გამართვა", Severity::Notice),
];

/// Names of the parts of a message.
const PARTS: &[(&str, Level)] = &[
    ("DETALLE", Level::Detail),
    ("DÉTAIL", Level::Detail),
    ("DETTAGLI", Level::Detail),
    ("詳細", Level::Detail),
    ("상세정보", Level::Detail),
    ("ПОДРОБНОСТИ", Level::Detail),
    ("DETALJ", Level::Detail),
    ("ВІДОМОСТІ", Level::Detail),
    ("详细信息", Level::Detail),
    ("დეტალები", Level::Detail),
    ("ZUSAMMENHANG", Level::Context),
    ("CONTEXTO", Level::Context),
    ("CONTEXTE", Level::Context),
    ("CONTESTO", Level::Context),
    ("文脈", Level::Context),
    ("내용", Level::Context),
    ("КОНТЕКСТ", Level::Context),
    ("KONTEXT", Level::Context),
    ("上下文", Level::Context),
    ("კონტექსტი", Level::Context),
    ("ANWEISUNG", Level::Statement),
    ("SENTENCIA", Level::Statement),
    ("INSTRUCTION", Level::Statement),
    ("ISTRUZIONE", Level::Statement),
    ("文", Level::Statement),
    ("명령 구문", Level::Statement),
    ("ОПЕРАТОР", Level::Statement),
    ("SATS", Level::Statement),
    ("ІНСТРУКЦІЯ", Level::Statement),
    ("语句", Level::Statement),
    ("ოპერატორი", Level::Statement),
    ("TIPP", Level::OtherSecondary),
    ("ANFRAGE", Level::OtherSecondary),
    ("SUGERENCIA", Level::OtherSecondary),
    ("CONSULTA", Level::OtherSecondary),
    ("ASTUCE", Level::OtherSecondary),
    ("REQUÊTE", Level::OtherSecondary),
    ("SUGGERIMENTO", Level::OtherSecondary),
    ("ヒント", Level::OtherSecondary),
    ("問い合わせ", Level::OtherSecondary),
    ("ПОДСКАЗКА", Level::OtherSecondary),
    ("ЗАПРОС", Level::OtherSecondary),
    ("TIPS", Level::OtherSecondary),
    ("FRÅGA", Level::OtherSecondary),
    ("ЗАПИТ", Level::OtherSecondary),
    ("提示", Level::OtherSecondary),
    ("查询", Level::OtherSecondary),
    ("힌트", Level::OtherSecondary),
    ("კითხვა", Level::OtherSecondary),
];

/// The severity of that name.
pub(super) fn severity(name: &[u8]) -> Option<Severity> {
    let found = SEVERITIES.iter().find(|(word, _)| word.as_bytes() == name);
    found.map(|(_, severity)| *severity)
}

/// Reads `FEHLER:  ` and the like, `CONTEXTE :  ` too: the level, and where the message starts.
pub(super) fn level(text: &[u8]) -> Option<(Level, usize)> {
    let word = level_word(text)?;
    let of_severity = || {
        severity(word).map(|severity| match severity {
            Severity::Log => Level::Log,
            severity => Level::Primary(severity),
        })
    };
    let part = PARTS.iter().find(|(name, _)| name.as_bytes() == word);
    let level = part.map(|(_, level)| *level).or_else(of_severity)?;
    let behind = &text[word.len()..];
    let space = usize::from(behind.starts_with(b" "));
    let n_spaces = match &behind[space + 1..] {
        [b' ', b' ', ..] => 2,
        [] => 0,
        _ => return None,
    };
    Some((level, word.len() + space + 1 + n_spaces))
}

/// Longest of the names, bytes.
const MAX_WORD_BYTES: usize = 48;

/// The word that a colon follows.
fn level_word(text: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', &text[..text.len().min(MAX_WORD_BYTES)])?;
    let word = &text[..colon];
    Some(word.strip_suffix(b" ").unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_many_languages() {
        for (message, expected) in [
            (
                "Dauer: 0.355 ms  Anweisung: select 1",
                "duration: 0.355 ms  statement: select 1",
            ),
            ("Dauer: 0.355 ms", "duration: 0.355 ms"),
            (
                "Dauer: 1.2 ms  Ausführen S_1/C_1: select 'x: y'",
                "duration: 1.2 ms  execute S_1/C_1: select 'x: y'",
            ),
            ("Anweisung: select 1", "statement: select 1"),
            (
                "durée : 0.355 ms, instruction : select 1",
                "duration: 0.355 ms  statement: select 1",
            ),
            (
                "durée : 0.355 ms, lien <unnamed> : select 1",
                "duration: 0.355 ms  bind <unnamed>: select 1",
            ),
            (
                "durée : 0.355 ms  exécute <unnamed>: select 1",
                "duration: 0.355 ms  execute <unnamed>: select 1",
            ),
            (
                "期間: 0.1 ミリ秒  文: select 1",
                "duration: 0.1 ms  statement: select 1",
            ),
            (
                "期間: 0.1 ミリ秒  パース<unnamed> : select 1",
                "duration: 0.1 ms  parse <unnamed>: select 1",
            ),
            (
                "продолжительность: 0.1 мс, оператор: select 1",
                "duration: 0.1 ms  statement: select 1",
            ),
            (
                "执行时间: 0.1 ms 执行<unnamed>: select 1",
                "duration: 0.1 ms  execute <unnamed>: select 1",
            ),
        ] {
            let read = english(message.as_bytes()).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(read.as_deref(), Some(expected));
        }
        for message in [
            "duration: 1 ms",
            "checkpoint complete: x",
            "",
            "Dauer: x ms",
            "Verbindung empfangen: Host=[local]",
        ] {
            assert_eq!(english(message.as_bytes()), None, "{message}");
        }
    }

    #[test]
    fn details() {
        for (detail, expected) in [
            ("Parameter: $1 = '7'", "parameters: $1 = '7'"),
            ("Paramètres : $1 = '7'", "parameters: $1 = '7'"),
            (
                "準備: prepare p as select 1",
                "prepare: prepare p as select 1",
            ),
        ] {
            assert_eq!(
                english_detail(detail.as_bytes()).as_deref(),
                Some(expected.as_bytes())
            );
        }
    }

    #[test]
    fn levels() {
        for (text, expected) in [
            ("FEHLER:  x", Some((Level::Primary(Severity::Error), 9))),
            ("INSTRUCTION :  x", Some((Level::Statement, 15))),
            ("DÉTAIL:  x", Some((Level::Detail, 10))),
            ("文:  x", Some((Level::Statement, 6))),
            ("СООБЩЕНИЕ:  x", Some((Level::Log, 21))),
            ("FEHLER: x", None),
            ("Fehler:  x", None),
            ("LOG:  x", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(level(text.as_bytes()), expected, "{text}");
        }
    }
}
