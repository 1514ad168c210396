//! Which attribute of a source is what here.

/// Attributes that a value is looked for in, the preferred one first. None: the source says nothing about it, and what is
/// known stays.
pub type Attributes = Vec<String>;

/// Which attribute is what. A field that is mapped is kept as the source has it, empty where it is empty there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What people sign in with.
    pub login: Attributes,
    /// Full name.
    pub name: Attributes,
    /// Numbers that callers key; all that are there, the first one is the employee number.
    pub employee_number: Attributes,
    /// Second number for people whose digits are the same.
    pub discriminator: Attributes,
    /// Language to speak with them.
    pub language: Attributes,
    /// Telephone numbers, all that are there.
    pub phone: Attributes,
    /// Mail addresses, all that are there.
    pub mail: Attributes,
    /// Department.
    pub department: Attributes,
    /// Managers, as the source refers to entries.
    pub manager: Attributes,
    /// Groups, all that are there.
    pub groups: Attributes,
    /// Accounts on target systems: target, and attributes with the account's name there.
    pub accounts: Vec<(String, Attributes)>,
    /// Answers: prompt or text of the question, and attributes with the answer. Taken once: who has answered keeps it.
    pub answers: Vec<(String, Attributes)>,
}

impl Mapping {
    /// Every attribute that is needed, once.
    #[must_use]
    pub fn attributes(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for attribute in self.lists().flatten() {
            if !all.iter().any(|known| known.eq_ignore_ascii_case(attribute)) {
                all.push(attribute.clone());
            }
        }
        all
    }

    fn lists(&self) -> impl Iterator<Item = &Attributes> {
        let fields = [
            &self.login,
            &self.name,
            &self.employee_number,
            &self.discriminator,
            &self.language,
            &self.phone,
            &self.mail,
            &self.department,
            &self.manager,
            &self.groups,
        ];
        let accounts = self.accounts.iter().map(|(_, attributes)| attributes);
        let answers = self.answers.iter().map(|(_, attributes)| attributes);
        fields.into_iter().chain(accounts).chain(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_asked_for_once() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mapping = Mapping {
            login: list(&["uid"]),
            phone: list(&["telephoneNumber", "mobile"]),
            accounts: vec![("corp".to_owned(), list(&["UID"]))],
            answers: vec![("question.badge".to_owned(), list(&["badge"]))],
            ..Mapping::default()
        };
        assert_eq!(mapping.attributes(), ["uid", "telephoneNumber", "mobile", "badge"]);
    }
}
