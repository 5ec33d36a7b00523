//! More servers from one: its data folder is copied while it is down, and all of them are started.

use std::{path::PathBuf, thread};

use super::{
    Binaries, Options, Server, ServerError,
    folder::Folder,
    running::{Process, configured_folder},
    template::Template,
};

impl Server {
    /// Shuts it down cleanly, copies its data folder `n_copies` times, does `between` on each data folder, and starts them all. The first
    /// of the answer is this one. A copy that can't be made (no space) is done without.
    ///
    /// # Errors
    /// When it does not shut down in time, or one of them does not start.
    pub fn restart_in_copies<T: Send>(
        mut self,
        binaries: &Binaries,
        options: &Options,
        n_copies: usize,
        between: impl Fn(PathBuf) -> T + Sync,
    ) -> Result<Vec<(Self, T)>, ServerError> {
        self.process.shut_down()?;
        let copies = self.copies(options, n_copies);
        thread::scope(|scope| {
            let starting: Vec<_> = copies
                .into_iter()
                .map(|folder| {
                    let (server, between) = (&self, &between);
                    scope.spawn(move || {
                        let done = between(folder.path().join("data"));
                        let copy = server.of_copy(folder, binaries, options)?;
                        Ok((copy, done))
                    })
                })
                .collect();
            let done = between(self.data_folder());
            let process = Process::start(binaries, &self.folder);
            let copies = starting
                .into_iter()
                .filter_map(|copy| copy.join().ok())
                .collect::<Result<Vec<_>, ServerError>>();
            Ok((process?, done, copies?))
        })
        .map(|(process, done, copies)| {
            self.process = process;
            std::iter::once((self, done)).chain(copies).collect()
        })
    }

    /// Folders with a copy of the data of this server, which is down.
    fn copies(&self, options: &Options, n_copies: usize) -> Vec<Folder> {
        let data = Template::of_stopped(self.data_folder());
        let copy = || {
            let folder = configured_folder(options, self.folder.account(), &self.preloaded)?;
            data.copy_into(&folder).map(|()| folder)
        };
        thread::scope(|scope| {
            let copying: Vec<_> = (0..n_copies).map(|_| scope.spawn(copy)).collect();
            copying
                .into_iter()
                .filter_map(|copy| copy.join().ok()?.ok())
                .collect()
        })
    }

    /// A server like this one in another folder.
    fn of_copy(
        &self,
        folder: Folder,
        binaries: &Binaries,
        options: &Options,
    ) -> Result<Self, ServerError> {
        Ok(Self {
            process: Process::start(binaries, &folder)?,
            log: folder.path().join(options.log_format.file()),
            folder,
            preloaded: self.preloaded.clone(),
            major: self.major,
        })
    }
}
