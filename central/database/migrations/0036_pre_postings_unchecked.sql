-- Entry and postings are written by the same two statements, nobody changes either (0001), and `verify-ledger` proves that
-- none stands alone (`entries`): each posting costs half of what it did.
alter table ledger_posting drop constraint if exists ledger_posting_account_id_entry_id_fkey;
