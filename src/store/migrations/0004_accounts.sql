-- Several accounts of Alibaba Cloud may share one store. The account whose run began the entry: its credentials withdraw what nobody holds.
-- Empty: the account that has no name, as all had before.
ALTER TABLE entries ADD COLUMN account TEXT NOT NULL DEFAULT '';
