//! Certificates as text: one, and lists of them. Pure.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// One certificate as every list has it: without words around it, one line break at each end of line. None if it is
/// not just one.
pub(crate) fn certificate(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, after) = rest.split_once(END)?;
    if after.contains(BEGIN) {
        return None;
    }
    let lines: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let sound = !lines.is_empty() && lines.iter().all(|line| line.bytes().all(plain));
    sound.then(|| [BEGIN, "\n", &lines.join("\n"), "\n", END, "\n"].concat())
}

/// The list less these.
pub(super) fn without(list: &str, held: &[String]) -> String {
    held.iter().fold(list.to_owned(), |list, one| list.replacen(one.as_str(), "", 1))
}

/// Those that the list does not hold, each once.
pub(super) fn strangers(list: &str, wanted: &[String]) -> Vec<String> {
    wanted.iter().fold(Vec::new(), |mut new, one| {
        if !list.contains(one.as_str()) && !new.contains(one) {
            new.push(one.clone());
        }
        new
    })
}

/// The list and these.
pub(super) fn with(mut list: String, added: &[String]) -> String {
    if !added.is_empty() && !list.is_empty() && !list.ends_with('\n') {
        list.push('\n');
    }
    added.iter().fold(list, |list, one| list + one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_is_read_however_it_is_written() {
        let plain = format!("{BEGIN}\nYWJj\nZGVm\n{END}\n");
        for written in
            [plain.clone(), plain.replace('\n', "\r\n"), format!("# of the host\n{plain}\n"), plain.trim().into()]
        {
            assert_eq!(certificate(&written).as_ref(), Some(&plain), "{written:?}");
        }
    }

    #[test]
    fn what_is_not_just_one_is_none() {
        let one = format!("{BEGIN}\nYWJj\n{END}\n");
        let strange =
            [String::new(), one.repeat(2), one.replace("YWJj", "Y W"), one.replace("YWJj", ""), one.replace(END, "")];
        for text in strange {
            assert_eq!(certificate(&text), None, "{text:?}");
        }
    }
}
